"""What to predict before an exhibit of the bug museum is opened. Every option, right or wrong, says why."""

from .question import Option, Question


def _right(text: str, reason: str) -> Option:
    return Option(text, reason, right=True)


PREDICTIONS: dict[str, Question] = {
    "state-after-padding": Question(
        "The encoder takes no notice of `lengths`. All its training and validation sources have six tokens. "
        "What does validation say?",
        (
            Option("That the model is bad", "Where all sources are equally long there is no padding to read."),
            _right("Nothing", "Its batches have no padding. The bug waits for the first batch that has."),
            Option("It stops with an error", "A state is a state: its shape says nothing of what it has read."),
        ),
    ),
    "rows-out-of-order": Question(
        "The encoder sorts a padded batch by length and gives the states back in that order. What do users see?",
        (
            _right("Good outputs, for other inputs", "Each state is right, and stands in another's row."),
            Option("Noise", "Every row is decoded from a right state. It is only not its own."),
            Option("Nothing: the order does not matter", "Row i of the outputs is read as the answer to row i."),
        ),
    ),
    "view-for-transpose": Question(
        "`view` turns (B, S) into (S, B) where `transpose` was meant. What becomes of the training loss?",
        (
            Option(
                "It falls as usual", "A row now holds tokens of several examples. There is nothing to learn from it."
            ),
            Option("It is nan", "All numbers are ordinary tokens. They only belong to other rows."),
            _right("It stays high", "What can be learned without the source is learned: how often each token comes."),
        ),
    ),
    "batch-first-forgotten": Question(
        "Without batch_first the GRU takes rows for time steps. Which tokens of its source does an output depend on?",
        (
            Option(
                "On all of them",
                "To this GRU each column is a sequence of its own. The last output has read the last column only.",
            ),
            _right(
                "On the last one, and on those of the rows above", "The state goes from row to row, not along a row."
            ),
            Option("On none", "The last column is read, so the last token has a say."),
        ),
    ),
    "state-reshaped": Question(
        "The state's layers and rows are mixed up by a `reshape`. With a batch of one, what happens?",
        (
            _right(
                "All is well", "With one row there is nothing to be mixed. Trying single examples does not find it."
            ),
            Option("The same as in a batch", "(1, L, H) and (L, 1, H) hold the same numbers in the same order."),
            Option("It stops with an error", "The number of elements is right, and more is not asked of a reshape."),
        ),
    ),
    "state-from-the-last-batch": Question(
        "The encoder begins where the last batch ended. Training batches are all of one size. How does it score?",
        (
            Option("As a healthy one", "What is left of the last batch is noise that training never gets rid of."),
            Option("At chance", "The source is read after that state, and most of it gets through."),
            _right("A little worse", "It learns to forget the noise in the first steps, and rarely fails to."),
        ),
    ),
    "encoder-detached": Question(
        "No gradient reaches the encoder, whose weights stay as they were drawn. Can the decoder learn from its state?",
        (
            Option("Yes, as well as ever", "Small random weights leave hardly a trace of the early tokens."),
            _right("Hardly", "It learns what a nearly constant state allows. The loss stays high."),
            Option("No, it cannot be trained at all", "The decoder's own gradients are all there, and its loss falls."),
        ),
    ),
    "dropout-always-on": Question(
        "A tenth of the embeddings' numbers is dropped in use, too. By how much does exact match fall?",
        (
            _right("By hardly anything", "The network was trained to do without them. Only some outputs vary."),
            Option("By a tenth", "A dropped number is not a wrong token."),
            Option("To nearly nothing", "Training with dropout has made it sturdy against just this."),
        ),
    ),
    "softmax-twice": Question(
        "The decoder gives probabilities, and the loss takes the softmax of them. How low can the loss get?",
        (
            Option("To 0", "That needs logits far apart. Probabilities lie between 0 and 1."),
            Option("Nowhere: it stays at log 10", "A probability of 1 still is larger than one of 0."),
            _right("To about 1.46", "With a probability of 1 for the right one of ten tokens: log(e + 9) − 1."),
        ),
    ),
    "context-follows-the-state": Question(
        "The output layer adds the state that the decoder was called with. When is that the encoder's final state?",
        (
            _right(
                "At every place, as long as the sequence is one call",
                "So training is exact, and only decoding differs.",
            ),
            Option("Always", "Step by step, each call is given another state."),
            Option("Never", "One call on the whole sequence begins from the encoder's state."),
        ),
    ),
    "reset-gate-before": Question(
        "Trained by nn.GRU, used by a cell that resets the state before the matrix product. How far off are outputs?",
        (
            Option("Not at all: both are GRUs", "Each can be trained. Weights of one are not weights of the other."),
            _right(
                "A little, and most examples are right",
                "Where all gates are open the two agree. Nobody suspects a formula.",
            ),
            Option("Completely", "Where all reset gates are near 1, the two nearly agree."),
        ),
    ),
    "update-gate-reversed": Question(
        "Trained by nn.GRU, used by a cell whose z means the opposite. How many outputs are right?",
        (
            Option("Most", "What should be kept is forgotten, and the other way round, at every step."),
            Option("Half", "It is not a coin flip: every step of every example is wrong."),
            _right("None", "Had it been trained with that z, it would be as good as any."),
        ),
    ),
    "not-shifted": Question(
        "Under forcing, the decoder reads the token that it should write. What becomes of the training loss?",
        (
            Option("It stays high", "Copying the input is the easiest task there is."),
            _right(
                "It falls lower than a healthy one", "Nothing has to be known of the source. It looks like success."
            ),
            Option("It falls as usual", "A healthy decoder has to find the token in its state, which takes longer."),
        ),
    ),
    "other-start": Question(
        "In training and in use the decoder begins with the last token of the source, not with 0. What is lost?",
        (
            _right(
                "Nothing, until other code uses the weights", "What the first input is does not matter if it is agreed."
            ),
            Option("The first token of every output", "The network learns to begin from whatever it is given."),
            Option("Exact match falls a little", "The score is computed with the same start as training."),
        ),
    ),
    "start-of-another": Question(
        "Trained to begin with 0, the decoder begins with 1 in use. What does it write?",
        (
            Option("Nothing that is right", "What it knows is in its state, and one odd input does not erase that."),
            Option("The same", "Token 1 has another embedding, and the state takes it in."),
            _right("Nearly always the right tokens", "So nearly that its score would raise no suspicion."),
        ),
    ),
    "state-not-carried": Question(
        "In decoding, each step starts from the encoder's state, not from the last step's. What is the exact match?",
        (
            _right(
                "Next to 0", "The decoder never knows how far it is. The validation, which has its own loop, says 99 %."
            ),
            Option("About half", "Every example has at least two tokens before its end, and only the first is safe."),
            Option("As in validation", "The validation here runs through another loop: that of `forward`."),
        ),
    ),
    "stale-token": Question(
        "In decoding, the start token is fed back at every step. What is the exact match?",
        (
            Option(
                "Next to 0", "The source is in the state, and the state counts along. The last token is a hint only."
            ),
            _right("Lower, but most are right", "On this task the state alone knows nearly everything."),
            Option("As in validation", "Some examples need to know what was written last."),
        ),
    ),
    "stops-with-the-first": Question(
        "Decoding of a batch ends when the first row ends. Who notices?",
        (
            Option("Whoever decodes one source", "Alone, a row ends when it ends."),
            Option("Whoever looks at the loss", "The loss is computed from forced logits, which never stop."),
            _right("Whoever compares a row in a batch with the same row alone", "The longer rows of a batch are cut."),
        ),
    ),
    "end-masked-as-padding": Question(
        "The loss ignores zeros, which are padding and also the end. What does the model write after the last digit?",
        (
            _right("More digits", "Nobody has ever told it what comes there."),
            Option("Zeros", "It was never asked for a zero, so it hardly ever writes one."),
            Option("Nothing", "Decoding always writes as many tokens as it is asked for."),
        ),
    ),
    "first-token-left-out": Question(
        "The loss leaves the first token out, as is right where targets begin with a start token. How many are right?",
        (
            Option("As usual", "The network is free to write anything at the first place."),
            _right("About that of guessing a digit", "One in nine, and the other tokens are right."),
            Option("0", "A free choice is right now and then."),
        ),
    ),
    "loss-one-apart": Question(
        "The logits of each place are compared with the target of the next. What does the model learn?",
        (
            Option("Nothing: the loss stays high", "What comes after next can be read from the source as well."),
            Option("The task, one step late", "It learns to be one step early: the first token is never asked for."),
            _right(
                "To write the target from its second token on", "The loss is as low as ever, and no example is right."
            ),
        ),
    ),
    "softmax-over-places": Question(
        "The loss takes its softmax over the places, not over the vocabulary. What becomes of it?",
        (
            _right(
                "It falls", "A token's logit only has to be larger at its place than at others. That can be learned."
            ),
            Option("It stays where it was", "There is something to be learned, only not which token to write."),
            Option("It is nan", "Over any axis, a softmax is a softmax."),
        ),
    ),
    "padding-in-the-mean": Question(
        "The loss ignores padding but divides by all tokens. All our targets are equally long. What changes?",
        (
            Option("The loss is too small", "Without padding the two numbers of tokens are the same."),
            _right(
                "Nothing", "The bug waits for targets of several lengths. Then full batches weigh more than others."
            ),
            Option("Training gets slower", "The gradient is the same to the last digit."),
        ),
    ),
    "gradients-kept": Question(
        "zero_grad is missing: every step adds its gradient to all those before. What happens?",
        (
            Option("The loss is nan", "Gradients are clipped, and Adam divides by their size: no step is too large."),
            Option("Training goes faster", "Old gradients point where the loss once fell. They are no help now."),
            _right(
                "It learns, and ends worse",
                "A momentum that nobody chose: only clipping makes old gradients fade. It still looks like training.",
            ),
        ),
    ),
    "padding-in-the-loss": Question(
        "Every target is padded with zeros to six times its length, and all count. Does the training loss tell?",
        (
            _right("Hardly: it falls nearly as low", "Most tokens are free gifts, which hides how the others do."),
            Option("Yes, it stays high", "The mean is taken over many tokens that are always right."),
            Option("Yes, it is 0 at once", "The tokens that matter still count, if less."),
        ),
    ),
    "validation-forced": Question(
        "Validation forces the decoder. Which of these scores says the same as what users get?",
        (
            Option("Token accuracy", "After an error, the true token helps the decoder back on its way."),
            _right("Exact match", "Up to the first error both read the same. Either there is one or there is none."),
            Option("The loss", "Forced, it is a proper measure, but not of what the model writes alone."),
        ),
    ),
    "mean-of-batch-means": Question(
        "1,025 examples in batches of 64: the last batch holds one. How much does that one weigh?",
        (
            Option("As much as any other", "Its batch's mean is an average of one."),
            Option("Nothing", "A batch of one has a mean like any other."),
            _right("64 times as much", "A batch is a batch: one example against sixty-four."),
        ),
    ),
    "eval-forgotten": Question(
        "eval() is forgotten, and a tenth of the embeddings' numbers is dropped in validation. What does it report?",
        (
            _right(
                "A little less than the model deserves", "The users, with eval(), are better off than the report says."
            ),
            Option("Much less", "It was trained with that dropout."),
            Option("More", "Dropped numbers are no help."),
        ),
    ),
    "scored-to-the-shorter": Question(
        "Output and target are compared with zip, as far as both go. Which model gets the best score?",
        (
            Option("The healthy one", "There is one that never disagrees with anything."),
            _right("One that writes an end at once", "An empty output agrees with every target."),
            Option("One that never ends", "It is compared as far as the target goes, and must get that right."),
        ),
    ),
    "wrong-axis": Question(
        "`right.all(dim=0)` asks of each place whether all examples are right. What is reported for a good model?",
        (
            Option("1", "A single error among a thousand examples spoils a place."),
            Option("Its exact match", "That asks of each example whether all places are right."),
            _right(
                "0, or a share of the places",
                "With four places: 0, 0.25, 0.5, 0.75 or 1. With more examples, more places are spoiled.",
            ),
        ),
    ),
}
