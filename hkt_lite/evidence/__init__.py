"""What the records say: statistics, groups, verdicts, tables, plots."""

MIME = "application/vnd.hkt+json"  # outputs of `show`: call, arguments, records, values
MEASURED = "measured"  # key in an output's metadata: times, which no second run shows again
