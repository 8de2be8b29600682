"""The canonical code of *Seq2Seq, Exactly*: the task, the model, its training, and what the notebooks teach with.

- errors: what is raised where input cannot be used
- files: checkpoints and other files, written whole or not at all
- task: the rule, its inputs by number, its sampler
- data: streams of examples, and those held out
- model: the encoder, the decoder, and the two together
- pairs: the same with two tokens a step, for the recipe `fastest`
- evaluation: scores, and mistakes by kind
- guide: what `tuned` learns beside the network, and throws away
- speed: a captured step, and seconds
- recipes: how each network is trained, as data
- networks: made by a recipe, or read from a checkpoint
- training: a step, an epoch, a run, its history and its checkpoints
- parallel: one of several processes under torchrun
- ladder: from the plain loop to the captured step
- certificates: what was counted of a model's errors, and by what
- prefix_tree: how far each input is from being written wrongly, shared beginnings once
- machine: the processor's name
- verification: counting errors over every input
- feedback: learning from the failures that were counted
- properties: what holds of any encoder–decoder, and a diagnosis of one where it does not
- exhibits: the bugs of the museum
- museum: what instruments and properties make of them
- records: results measured elsewhere, as data
- plots: numbers in, figures out
- display: how a figure is shown in a notebook
- widgets: sliders, and a training to watch
- teaching: claims, exercises, predictions and quizzes

Data flows one way: each module imports only those above it in this list. Names are loaded when they are first used, so
importing the package is quick and pulls in no figures or widgets.
"""

from importlib import import_module

_PUBLIC = {
    "errors": ("InputError", "TrainingDivergedError"),
    "files": ("load_checkpoint", "save_checkpoint"),
    "task": ("START_TOKEN", "VOCABULARY_SIZE", "SubstringTask", "generate_example"),
    "data": ("SyntheticDataset", "batches", "held_out"),
    "model": ("Decoder", "Encoder", "Seq2Seq", "count_parameters", "init_weights", "shift_right", "start_tokens"),
    "pairs": ("PairDecoder", "PairEncoder", "PairSeq2Seq"),
    "evaluation": (
        "Scores",
        "accuracy_after_first_error",
        "before_end",
        "evaluate",
        "exact_match",
        "highest_rate",
        "kind_of_mistake",
        "mistakes",
        "predict",
        "score",
        "table_of_mistakes",
        "token_accuracy",
        "token_loss",
    ),
    "guide": (),
    "speed": ("CapturedStep", "seconds"),
    "recipes": (
        "EXACT",
        "EXACT_8",
        "FASTEST",
        "ORIGINAL",
        "RECIPES",
        "SMALL",
        "SMALLEST",
        "TUNED",
        "Recipe",
        "find_recipe",
    ),
    "networks": ("build_model", "learner_of", "load_model"),
    "training": (
        "Callback",
        "PrintExamples",
        "Process",
        "ProgressBar",
        "Run",
        "find_device",
        "fit",
        "summary",
        "train_step",
        "validate",
    ),
    "parallel": ("device_of_process", "process_of_torchrun"),
    "ladder": ("climb",),
    "certificates": (
        "Certificate",
        "Piece",
        "load_certificate",
        "merge",
        "save_certificate",
        "sha256_of",
        "still_to_count",
    ),
    "prefix_tree": ("PrefixTree", "WholeCalls", "margins", "margins_of_ranges"),
    "machine": (),
    "verification": ("count_errors", "count_into"),
    "feedback": ("feed_back", "train_to_zero"),
    "properties": ("PROPERTIES", "Diagnosis", "diagnose"),
    "exhibits": ("EXHIBITS",),
    "museum": ("MUSEUM",),
    "records": ("load_record", "record_path"),
    "plots": (),
    "display": ("show",),
    "widgets": ("LiveTraining", "dropdown", "explore", "slider"),
    "teaching": (
        "check",
        "claim",
        "explain_missing_names",
        "patient",
        "predict_first",
        "progress",
        "quiz",
        "room",
    ),
}
_HOME_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    if name in _PUBLIC:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PUBLIC})
