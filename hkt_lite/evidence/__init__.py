"""What the records say: statistics, groups, verdicts, tables, plots."""
