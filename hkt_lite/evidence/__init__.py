"""What the records say: statistics, groups, verdicts, tables, plots."""

MIME = "application/vnd.hkt+json"  # outputs of `show`: call, arguments, records, values
