"""The words of the page that are the same in every report, in one place; templates call them `words.NAME`."""

from __future__ import annotations

# first screen
EYEBROW = "Adversarial robustness report"
HOW_ROBUST = "How robust is the model?"
HOW_SURE = "How sure is that?"
QUALITY = "Evaluation quality"
QUALITY_OF = "of this evaluation, from A to F; not of the model"
BREAKS = "What breaks it first?"
HELPS = "What would help?"
CHECK = "How do I check this?"
NO_QUOTE = "Do not quote figures of this page as robustness."
CHECK_HOW = "In the folder of the run, without any attack code:"
CHECK_COMMAND = "robusteval verify ."
CHECK_WHAT = (
    "It asks ONNX Runtime about every stored adversarial again, derives all figures anew and compares this page."
)
IN_FULL = "The verdict in full: {} sentences, and how the grade came about"
COPY = "Copy"
DOUBTFUL = "Figures of an inconclusive run: upper bounds at best, and not to be quoted"
# the chart
ACCURACY = "Accuracy against the size of the change"
READ_CHART = (
    "The further a change may go, the fewer images are still right. Thick: the worst case, each image judged by the "
    "attack that needs least, with its 95 % interval. The truth cannot lie above that line and may lie below it. "
    "Choose a point, an attack or a class to see images behind it."
)
READ_STILL = (
    "The further a change may go, the fewer images are still right. Thick: the worst case over attacks, with its 95 % "
    "interval; thin: single attacks; dashed upright: the budget that is quoted."
)
BUDGET = "Budget"
NORM = "Norm"
BUDGET_NOTE = "sets the budget of figures, tables and pictures in this norm"
ALL_ATTACKS = "all attacks"
KNOWN_MODELS = "known models"
PROVED = "proved"
READ_PROVED = (
    "Green: what is proved at least, of the images that certifiers were asked about, with its 95 % interval. Between "
    "it and the worst case nobody knows."
)
PROVED_OF = "proved, of the first {count} images"
WORST = "worst case"
# defences and detectors
READ_DEFENCE = (
    "Thick: the worst case against an attacker who knows the defence, with its 95 % interval; dashed: the bare model. "
    "The dotted line is what the same attacks reach when they do not know the defence; it says nothing about what the "
    "defence is worth. Where oblivious attacks grow stronger, solid is the defended pipeline and dashed the bare model "
    "on the same images: the gap to the thick line is what the defence gains from being secret."
)
READ_ROC = (
    "Each line is one attack at the strength that the detector finds hardest; the table has all. Left is better: few "
    "false alarms on clean images; up is better: many adversarials found. Read off the height at 1 % and 5 % false "
    "alarms. Thick dashed lines are attackers who know the detector."
)
# gallery
GALLERY = "Images behind the figures"
GALLERY_NOTE = (
    "Below each picture: the answer and its confidence. The perturbation is stretched around mid-grey by the factor "
    "given, so that it can be seen. A part of the run's images is kept as pictures."
)
MARK = "no longer shows its class"
MARKS_NOTE = (
    "Some adversarial images no longer show their class, and a model is not wrong to say so. Mark them, export the "
    "marks, and see the curves with and without them:"
)
MARKS_COMMAND = "robusteval report RUN --marks marks.json"
EXPORT, CLEAR, SHOW_EVERY = "Export marks", "Clear marks", "Show all pictures"
# others
NO_DEFENCE = "No defence was part of this run."
TRY_DEFENCE = "robusteval run MODEL --suite defenses"
OUTSIDE = (
    "Outside this report altogether: changes that are not small in these norms (rotation, weather, stickers), poisoned "
    "training data, theft of the model or of its data."
)
READ_CLAIM = (
    "It asks ONNX Runtime about each of them again: distance, range, and answer; and of every attack in L2 and Linf "
    "which of its wins still fool the model as 8-bit images. A claim that does not re-check is shown as failed."
)

# headings and notes of the sections
MARKED = "With and without the marked images"
MARKED_NOTE = (
    "A reader marked adversarial images that no longer show their class. Without them: these images count neither "
    "as right nor as wrong. The marks are no part of the run."
)
AMONG_KNOWN = "Among known models"
DEFENCES = "Defences"
DETECTORS = "Detectors"
FINDINGS = "Findings: why a number might be wrong"
NO_FINDING = "No finding was recorded. The absence of findings is not a proof."
CHECKS = "Checks of this evaluation"
CLASSES = "Per class"
LABEL_NEXT = "Samples to label next"
LABEL_NEXT_NOTE = (
    "If you can label a few more images, take some like these: the model is least sure of where its boundary lies "
    "there."
)
CLEVER = "CLEVER, beside what the attacks found"
COST = "Cost of the attacks"
OTHERS = "Other measures"
COVERAGE = "Threats covered and not covered"
NOTHING_KNOWN = "No attack finished: nothing is known about robustness."
PROVENANCE = "Provenance"
RECHECK = "How to re-check"
RECHECK_HOW = (
    "The run keeps the adversarial images behind its worst case. From the run's folder, without any attack code:"
)
DEFINITIONS = "Definitions"
NO_FIGURES = "No figures were derived for this run."
SINGLE = "single attacks"
STRENGTH = "As each attack grows stronger: accuracy against the mean size of what it does"

GATES = "Gates"
GATES_NOTE = "What was not measured meets no gate. Shares are of all images; distances are shares of the pixel range."
STANDARDS = "Evidence by ids of regulation and standards"
STANDARDS_NOTE = (
    "What this one evaluation measured of what each id names. Whether a requirement is met, and which level is enough, "
    "it does not say; what was not tested is told as such."
)

# what stands between figures and names; {} is one of these
ROBUSTNESS_OF = "Robustness of {}"
SECTIONS = "Sections"
WHAT_TO_DO = "What to do:"
WHY = "Why:"
SHA256 = "SHA-256"
EVIDENCE = "Evidence:"
WHERE = "Where:"
TO_VERDICT = "Answers"
TO_ACCURACY = "Accuracy"
TO_BRACKET = "Proofs"
TO_MARKED = "Marked"
TO_REFERENCES = "Known models"
TO_DEFENCES = "Defences"
TO_FINDINGS = "Findings"
TO_GALLERY = "Pictures"
TO_CLASSES = "Classes"
TO_COVERAGE = "Coverage"
TO_PROVENANCE = "Provenance"
WHY_GRADE = "Why {}:"
CURVES_AMONG = "Curves among known models, {}"
REFERENCES_FROM = "Reference models from {}."
NOTE = "{} note that costs nothing"
NOTES = "{} notes that cost nothing"
BEHIND_DEFENCES = "The same behind defences: {} tables"
MEASURED_BY = "Measured by the plugin"
NOTHING_IN = "No attack finished in {}: this report says nothing about changes of that kind."
PROVENANCE_OF = "Model, data, plan, run and environment; model SHA-256 {}"
VERIFY = "robusteval verify RUN"
WORDS_OF_PAGE = "{} words of this page"
ONE_FILE = "One file, no network: everything on this page is in it."
BRACKET = "Proved, broken, unknown"
FINDING = "{} finding to heed"
FINDINGS_TO_HEED = "{} findings to heed"
NO = "no"
TRY_SOME = "Try some:"
SIDE_BY_SIDE = "Defences side by side"
BEYOND = "beyond the budget"
NO_PNG = "not a PNG image, left out"
WIPE_CLEAN = "clean"
WIPE_ADVERSARIAL = "adversarial"
WIPE = "From clean to adversarial, {}"
AGAIN = "{} again"
DEFINITION = "Definition: {}"
PICTURE = "{} picture"
PICTURES = "{} pictures"
OF = "of {}"
MODELS = "{} models"
MODELS_ON = "{} models on the same images"
EACH_ATTACKED = "each attacked on the same {} images of {} with suite {} {}."
ALARM = "alarm"
INCONCLUSIVE = "inconclusive"
INCONCLUSIVE_FOR = (
    "INCONCLUSIVE for {}: the evaluation cannot be trusted as it stands, so neither can a comparison with it."
)
READ_FINDINGS = "Read the findings in the model's own report. Do not quote these figures as robustness."
NO_FIGURES_OF_THESE = "No figures were derived for these runs."
OWN_REPORTS = "Each model has a report of its own:"
TRANSFER = "Whose adversarials fool whom"
NO_SOURCE = "{} is no source: {}, {}."
READ_TRANSFER = (
    "A strong colour off the diagonal means that an attacker who has only the row's model, or trains one like "
    "it, also defeats the column's: hiding a model is no defence then."
)
TO_MODELS = "Side by side"
TO_TRANSFER = "Transfer"
TO_WORST = "Worst case"
TO_ATTACKS = "Attack by attack"
REPORTS = "Reports and provenance"
AMONG_NOTE = (
    "The models of this run first, then known ones, attacked alike on the same images; one behind a defence is"
    " attacked by someone who knows it. Curves are in each model's own report."
)
ALL_EVERY = "All attacks, every model"
ONE_EVERY = "One attack, every model"
LINES_END = "Each line ends where the model's run stopped looking, or where the last image was lost."
CHART = "{} chart, one for each attack and norm"
CHARTS = "{} charts, one for each attack and norm"
RUN = "Run"
COMMAND = "Command"
SEED = "Seed"
DATA = "Data"
SUITE = "Suite"
TRANSFER_ATTACK = "Transfer attack"
SCHEMA = "Schema"
RECHECK_MODELS = (
    "The adversarials behind the matrix and behind every model's worst case are kept. Without any attack code:"
)
ONE_FILE_MODELS = "One file, no network: everything but the models' own reports beside it is in it."
RUNS_COMPARED = "{} runs compared"
RUNS = "{} runs"
TO_ANSWER = "Answer"
TO_CURVES = "Curves"
PAIRED = "Finished runs compared"
SINCE = "What changed since {}"
HELD_AGAINST = "Each run is held against the first one, on the same images, without asking a model again."
NEAREST = "What can be said:"
DISTANCE = "Accuracy against distance"
AGAINST = "{} against {}"
CLEAN = "Clean"
CLEAN_IMAGE = "Clean image {}"
ADVERSARIAL = "Adversarial"
ADVERSARIAL_IMAGE = "Adversarial image {}"
IMAGES = "{} images"
UNLISTED = "{} more images changed and are not listed."
AS_THEY_ARE = "Records were read as they are. Whether they hold, this says of each run:"
# what the page's script says; {} is a number or a name
SCRIPT = {
    "copied": "Copied",
    "copyByHand": "Select it and copy by hand",
    "showAll": "Show all {} rows",
    "showFew": "Show ten rows",
    "filter": "Filter rows",
    "filterOf": "Filter the rows of {}",
    "rows": "{} of {} rows",
    "pictures": "{} of {} pictures",
    "within": "{} of {} pictures lie within the budgets chosen above.",
    "some": "{} of {} pictures are shown.",
    "upTo": "What {} has taken by distance {}",
    "attack": "Found by {}",
    "class": "Class {}",
    "image": "Image {}",
    "none": "No picture is kept of these; the run's table of samples lists all of them.",
    "marked": "{} marked",
}
