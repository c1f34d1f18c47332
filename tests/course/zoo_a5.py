"""Hand-ins of assignment 5."""

from .hand_ins import HandIn, cell_of

PAIRS = "faults_first faults_second faults_third faults_fourth"


def then(line: str):
    """A trick: one more line below the right faults."""

    def trick(notebook) -> None:
        cell_of(notebook, "write_faults").source += f"\n{line}"

    return trick


ZOO = [
    HandIn(
        "no fault is seen",
        trick=then("FAULTS = dict.fromkeys(FAULTS, 0)"),
        loses=PAIRS,
    ),
    HandIn(
        "the line above is named",
        trick=then("FAULTS = {fault: line and line - 1 for fault, line in FAULTS.items()}"),
        loses=PAIRS,
    ),
    HandIn(
        "everything is a fault",
        trick=then("FAULTS = {fault: line or 7 for fault, line in FAULTS.items()}"),
        loses="faults_first faults_second faults_third",
    ),
    HandIn(
        "plain over all epochs",
        {"write_reported": [("plain[plain.epoch == plain.epoch.max()]", "plain")]},
        "reported",
    ),
    HandIn(
        "the other of the two highest",
        {"write_reported": [('== "highest"', '!= "highest"')]},
        "reported",
    ),
    HandIn(
        "chosen on test",
        {"write_reported": [(".val.idxmax()", ".test.idxmax()")]},
        "chosen",
    ),
    HandIn(
        "the other one of equally good epochs",
        {"write_reported": [('== "first"', '!= "first"')]},
        "chosen",
    ),
    HandIn(
        "bias over the last epoch",
        {
            "write_reported": [
                ("honest = chosen(own)", "honest = own[own.epoch == own.epoch.max()]")
            ]
        },
        "selection_bias",
    ),
    HandIn(
        "tuned on test",
        {"write_honest": [('groupby("lr").val', 'groupby("lr").test')]},
        "tuned",
    ),
    HandIn(
        "chosen needs both methods in a table",
        {
            "write_reported": [
                ("    ordered =", "    assert runs.method.nunique() == 2\n    ordered =")
            ]
        },
        "chosen",
    ),
    HandIn(
        "chosen for one method at a time, with an index of its own",
        {
            "write_reported": [
                (
                    ".reset_index(drop=True)",
                    '.set_index(["method", "lr", "seed"], drop=False).rename_axis([None] * 3)',
                ),
            ],
        },
        "chosen",
    ),
    HandIn(
        "the other centre",
        {
            "write_honest": [
                (".agg('", ".agg({'mean': 'median', 'median': 'mean'}['"),
                ("').idxmax()", "']).idxmax()"),
            ]
        },
        "tuned",
    ),
    HandIn(
        "unpaired",
        {
            "write_honest": [
                ("d.std(ddof=1)", "(new.var(ddof=1) + plain.var(ddof=1)) ** 0.5"),
            ]
        },
        "honest",
    ),
    HandIn(
        "n below the line",
        {"write_honest": [("ddof=1", "ddof=0")]},
        "honest",
    ),
    HandIn(
        "plain is not tuned",
        {
            "write_honest": [
                ("tuned(runs, method))]", '(tuned(runs, "new") if method == "new" else 0.01))]')
            ]
        },
        "honest",
    ),
    HandIn(
        "drawn with replacement",
        {
            "write_honest": [
                ("math.comb(k, n - 1)", "((k + 1) ** n - k**n)"),
                ("math.comb(len(ordered), n)", "len(ordered) ** n"),
            ]
        },
        "best_of",
    ),
    HandIn(
        "best of all",
        {"write_honest": [("ordered = sorted(scores)", "return max(scores)\n    ordered = []")]},
        "best_of",
    ),
    HandIn(
        "eight epochs in every table",
        {"write_reported": [("plain.epoch == plain.epoch.max()", "plain.epoch == 7")]},
        "reported",
    ),
    HandIn(
        "the index of the chosen rows is not fresh",
        {"write_reported": [(".reset_index(drop=True)", "")]},
        "chosen",
    ),
    HandIn(
        "equal scores count once",
        {"write_honest": [("sorted(scores)", "sorted(set(scores))")]},
        "best_of",
    ),
    HandIn(
        "twenty thousand draws",
        {
            "write_honest": [
                (
                    "    ordered = sorted(scores)\n",
                    "    chance = np.random.default_rng(0)\n"
                    "    drawn = [max(chance.permutation(scores)[:n]) for _ in range(20_000)]\n"
                    "    return float(np.mean(drawn))\n"
                    "    ordered = []\n",
                )
            ]
        },
        "best_of",
    ),
    HandIn(
        "every subset in turn",
        {
            "write_honest": [
                (
                    "    ordered = sorted(scores)\n",
                    "    from itertools import combinations\n\n"
                    "    return float(np.mean([max(some) for some in combinations(scores, n)]))\n"
                    "    ordered = []\n",
                )
            ]
        },
        kind="right",
    ),
]
