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
IN_FULL = "The verdict in full"
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
