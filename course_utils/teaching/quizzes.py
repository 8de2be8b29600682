"""The questions of each notebook's quiz. Every option, right or wrong, says why."""

from .question import Option, Question

QUIZZES: dict[int, tuple[Question, ...]] = {
    1: (
        Question(
            "What is the target of 3 2 5 1 9 4 4 8 2 6?",
            (
                Option(
                    "1 9 0 0 0 0 0 0",
                    "That counts start and length as if they were digits.",
                ),
                Option(
                    "4 4 0 0 0 0 0 0",
                    "Counting from 0, digits 3 and 4 are 4 and 4.",
                    right=True,
                ),
                Option(
                    "9 4 0 0 0 0 0 0",
                    "That begins at digit 2. The digits are numbered from 0.",
                ),
                Option(
                    "4 0 0 0 0 0 0 0",
                    "That copies one digit, but length is 2.",
                ),
            ),
        ),
        Question(
            "A model writes the right length every time and never a right digit. What are its scores?",
            (
                Option(
                    "Token accuracy 53 %, exact match 0 %",
                    "The zeros are 4.25 of 8 tokens on average, and every example has a wrong digit.",
                    right=True,
                ),
                Option(
                    "Token accuracy 0 %, exact match 0 %",
                    "The zeros are tokens too, and they are right.",
                ),
                Option(
                    "Token accuracy 53 %, exact match 53 %",
                    "No example is right as a whole.",
                ),
            ),
        ),
        Question(
            "Model A is wrong on 1 % of all inputs, model B on 1 % of sampled inputs. Which is better?",
            (
                Option(
                    "They are equally good",
                    "That would follow if each failed equally often on every pair. Otherwise the two rates weigh the "
                    "same errors differently.",
                ),
                Option(
                    "A, since it was tested on all inputs",
                    "Counting everything is exact, but it is another rate.",
                ),
                Option(
                    "That cannot be said",
                    "The measures differ. A may fail where the sampler rarely goes, and B the other way round.",
                    right=True,
                ),
            ),
        ),
        Question(
            "If sources were padded with 0, why could a program not find the padding by looking for zeros?",
            (
                Option(
                    "It may: zeros are always padding",
                    "That holds for targets, not for sources.",
                ),
                Option(
                    "0 is a valid start",
                    "Such a program would take the first token for padding.",
                    right=True,
                ),
                Option(
                    "The digits of a source can be 0",
                    "They go from 1 to 9. But one other number can be 0.",
                ),
            ),
        ),
    ),
    2: (
        Question(
            "A GRU is built with batch_first=True and gets an input of shape (32, 10, 128). What is the shape of "
            "its final state, with 3 layers of 256?",
            (
                Option(
                    "(32, 3, 256)",
                    "That would be consistent, but batch_first does not move the axes of the state.",
                ),
                Option(
                    "(32, 256)",
                    "That is one layer's state. The final state holds one for each.",
                ),
                Option(
                    "(3, 32, 256)",
                    "batch_first concerns input and outputs. The state keeps layers first.",
                    right=True,
                ),
            ),
        ),
        Question(
            "In PyTorch's convention the update gate z is close to 1. What happens to the state?",
            (
                Option(
                    "It stays almost as it was",
                    "h' = (1 - z) n + z h, so z keeps the old state.",
                    right=True,
                ),
                Option(
                    "It becomes almost the candidate",
                    "That is the other convention: some papers write it so. PyTorch does not.",
                ),
                Option(
                    "It is erased",
                    "That would need z near 0, and a candidate near 0. With z near 1 the candidate hardly counts.",
                ),
            ),
        ),
        Question(
            "A batch holds sources of several lengths. You take outputs[:, -1] as their final states. What is wrong?",
            (
                Option(
                    "It crashes",
                    "It runs without any message. That is what makes it dangerous.",
                ),
                Option(
                    "Short rows have read padding after their last token",
                    "So their state depends on what stands in the padding, and on the longest row beside them.",
                    right=True,
                ),
                Option(
                    "Nothing, padding is ignored",
                    "A GRU does not know padding. It reads whatever stands there.",
                ),
            ),
        ),
        Question(
            "How many bias vectors does one layer of nn.GRU have?",
            (
                Option(
                    "One of 3H numbers",
                    "For r and z one would do. For the candidate it would not: the reset gate multiplies one of "
                    "the two.",
                ),
                Option(
                    "Three of H numbers",
                    "There are three blocks, r, z and n, but each has two biases.",
                ),
                Option(
                    "Two, each of 3H numbers",
                    "One beside the input matrix and one beside the state matrix.",
                    right=True,
                ),
            ),
        ),
    ),
    3: (
        Question(
            "Training loss falls to 0.001 within a minute, teacher-forced accuracy is 100 %, and decoding gives "
            "nonsense. What do you look at first?",
            (
                Option(
                    "Whether the decoder's input is shifted",
                    "Unshifted, the decoder reads the very token it should write, and learns to copy its input.",
                    right=True,
                ),
                Option(
                    "The learning rate",
                    "A wrong rate shows in the training loss. This loss is excellent.",
                ),
                Option(
                    "The encoder's size",
                    "If the decoder depended on the encoder, one too small would keep the training loss high.",
                ),
            ),
        ),
        Question(
            "The loop over single steps, fed with the true tokens, and the one call on the shifted target: how do "
            "their logits differ?",
            (
                Option(
                    "The one call sees the future",
                    "A GRU reads from left to right. Step t knows nothing of step t + 1.",
                ),
                Option(
                    "The loop is more exact",
                    "Both do the same additions, in another order here and there.",
                ),
                Option(
                    "Only by rounding",
                    "It is the same recurrence on the same inputs.",
                    right=True,
                ),
            ),
        ),
        Question(
            "Two models have the same exact match. After their first errors, one goes on well and the other falls "
            "apart. Which measure tells them apart?",
            (
                Option(
                    "Teacher-forced accuracy",
                    "There the decoder never reads its own error, so nothing falls apart.",
                ),
                Option(
                    "Accuracy after the first error",
                    "Exact match is lost with the first error, so nothing that follows can move it.",
                    right=True,
                ),
                Option(
                    "Exact match on more examples",
                    "It looks no further than the first error, however many examples you take.",
                ),
            ),
        ),
        Question(
            "Why does the loss here not skip tokens whose target is 0?",
            (
                Option(
                    "It makes the loss smaller",
                    "It does, since zeros become easy. But that is no reason.",
                ),
                Option(
                    "The model must learn to stop",
                    "Without them nothing tells it to write a zero.",
                    right=True,
                ),
                Option(
                    "PyTorch cannot skip tokens",
                    "It can: cross_entropy has ignore_index.",
                ),
            ),
        ),
    ),
    4: (
        Question(
            "After each epoch a run validates on 8 examples and all 8 are right. What do you know?",
            (
                Option(
                    "The model is at least 99 % right",
                    "With 8 examples no such claim can be made.",
                ),
                Option(
                    "The model is perfect",
                    "It was right 8 times. There are 1,162,261,467 inputs.",
                ),
                Option(
                    "Little: at 92 % exact match this happens every second time",
                    "0.92 to the power of 8 is 0.51. Eight examples cannot tell 92 % from 99 %.",
                    right=True,
                ),
            ),
        ),
        Question(
            "You write total += loss.item() in the training loop on a GPU. What does it cost?",
            (
                Option(
                    "The CPU waits for the GPU at every step",
                    "item() needs the number now, so nothing can be queued ahead. Sum on the device and read it once.",
                    right=True,
                ),
                Option(
                    "Nothing, it is one number",
                    "It is the waiting that costs, not the four bytes.",
                ),
                Option(
                    "Memory for the graph",
                    "That would be total += loss, without item().",
                ),
            ),
        ),
        Question(
            "A run is stopped and resumed, and its numbers differ from those of an unbroken run on the same CPU. "
            "What was probably not saved?",
            (
                Option(
                    "Nothing: resumed runs always differ",
                    "On a CPU they need not. On a GPU, last digits may differ.",
                ),
                Option(
                    "The optimizer's or a generator's state",
                    "Adam's averages steer the next step, and generators decide which examples come.",
                    right=True,
                ),
                Option(
                    "The weights",
                    "Then it would not go on at all: it would start again.",
                ),
            ),
        ),
        Question(
            "Why is the best checkpoint by 8 validation examples sometimes worse than the last one?",
            (
                Option(
                    "8 losses are mostly noise",
                    "The lowest of 16 such losses may be low by luck, so the choice can be worse than the last.",
                    right=True,
                ),
                Option(
                    "The last one is always best",
                    "With some seeds of the original recipe the chosen weights were better.",
                ),
                Option(
                    "The model has seen those examples",
                    "They are drawn fresh each time.",
                ),
            ),
        ),
    ),
    5: (
        Question(
            "A network is right on all 10,000 inputs of a random test. What follows?",
            (
                Option(
                    "Its error rate is at most 1 in 10,000",
                    "At that rate a clean test happens more than once in three. Rates up to 3 in 10,000 remain.",
                ),
                Option(
                    "It is right on every input",
                    "It may fail on 348,000 of the 1,162,261,467: a clean test would still come once in twenty tests.",
                ),
                Option(
                    "Its error rate, as the test was drawn, is below 3 in 10,000, or the test was a lucky one",
                    "Above that rate at most one test in twenty is clean. That is all that the test says.",
                    right=True,
                ),
            ),
        ),
        Question(
            "Why may the decoder read the target while its errors are counted?",
            (
                Option(
                    "Up to its first error it reads the same as when it writes alone",
                    "And one error is enough to fail. What comes after it does not matter for exact match.",
                    right=True,
                ),
                Option(
                    "Teacher forcing makes no difference to what it writes",
                    "After the first error it does. It is the verdict, right or wrong, that is the same.",
                ),
                Option(
                    "It may not: that is leakage",
                    "For token accuracy it would be. For exact match there is a proof.",
                ),
            ),
        ),
        Question(
            "A count finds no error. The smallest margin is 0.00001, and ways to compute it differ by 0.00002. "
            "What do you know?",
            (
                Option(
                    "The network is exact: zero is zero",
                    "Another order of the same sums may turn that margin negative.",
                ),
                Option(
                    "Little about that input: another way to compute it may find that it fails",
                    "The margin is within the rounding. All others may be safe, but zero stands on the smallest.",
                    right=True,
                ),
                Option(
                    "The network fails on some input",
                    "Nothing says that. It is too close to call.",
                ),
            ),
        ),
        Question(
            "A hundred failures were fed back, and now the network is right on all hundred. What next?",
            (
                Option(
                    "Stop: what failed is mended",
                    "Others may have broken meanwhile, as after the first round above.",
                ),
                Option(
                    "Train on these hundred once more, to be sure",
                    "They are right already. What fails now, nobody knows before a count.",
                ),
                Option(
                    "Count all inputs again",
                    "Only a count of everything says whether anything fails now.",
                    right=True,
                ),
            ),
        ),
        Question(
            "All failures of a network copy the whole source. Counted over all inputs its error rate is 0.26 %, under "
            "the sampler it is 0.17 %. Which one is right?",
            (
                Option(
                    "The first, for it counts every input",
                    "So does the second. It gives each the chance with which the sampler draws it.",
                ),
                Option(
                    "Both, each under its own measure",
                    "The sampler draws such inputs more rarely than their number suggests. A rate needs its measure "
                    "named.",
                    right=True,
                ),
                Option(
                    "The second, for the network was trained on the sampler's examples",
                    "How it was trained does not decide what somebody wants to know about it.",
                ),
            ),
        ),
    ),
    6: (
        Question(
            "The outputs of a batch are good, but some are those of other sources in it. What do you compare?",
            (
                Option(
                    "What a row gives alone with what it gives in the batch",
                    "It cannot depend on the rows beside it. To find out takes no training, but several lengths.",
                    right=True,
                ),
                Option(
                    "The shapes before the encoder and after it",
                    "Rows in another order have the same shape.",
                ),
                Option(
                    "The training loss with that of a healthy network",
                    "Where all sources of a batch are equally long, nothing need have moved.",
                ),
            ),
        ),
        Question(
            "Why can a property be tried on a network that has not been trained?",
            (
                Option(
                    "Because untrained networks are simpler",
                    "They have the same code and the same number of weights.",
                ),
                Option(
                    "Because it must hold for any weights",
                    "Causality, or that rows do not touch each other, is a matter of the code. Random weights will do.",
                    right=True,
                ),
                Option(
                    "Because the bugs are in the initial weights",
                    "The weights are drawn anew before the properties are tried.",
                ),
            ),
        ),
        Question(
            "All properties hold. What do you know?",
            (
                Option(
                    "The model is right",
                    "It may still copy from the wrong place. Whether it learned the task, only its outputs can say.",
                ),
                Option(
                    "Nothing",
                    "You know that these bugs are not in it, and some of them no score would have shown.",
                ),
                Option(
                    "That it does not have the bugs that they look for",
                    "They were written for bugs that are known. The next one may need a property of its own.",
                    right=True,
                ),
            ),
        ),
        Question(
            "An evaluation scores the same weights on the same examples a little otherwise each time. What is it?",
            (
                Option(
                    "None of its business: scores are noisy",
                    "The share of right examples among these is a number. It has no noise.",
                ),
                Option(
                    "The evaluation forgets `model.eval()`",
                    "It takes the model in training mode, and dropout draws other numbers each time.",
                    right=True,
                ),
                Option(
                    "It needs a seed",
                    "Then it gives the same wrong score each time.",
                ),
            ),
        ),
        Question(
            "In eval mode your own model gives two answers to one question. What do you do before all else?",
            (
                Option(
                    "Mend that first",
                    "Every property that compares two calls would fail for it, and say nothing of its own.",
                    right=True,
                ),
                Option(
                    "Take the mean of many calls",
                    "The mean of a sick model's answers is not a healthy one's.",
                ),
                Option(
                    "Allow a larger tolerance",
                    "Then other bugs pass as well.",
                ),
            ),
        ),
    ),
}
