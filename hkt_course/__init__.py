"""The course: assignments from one source each, instant checks, grading that is not talked round.

A notebook of notebooks/assignments/source holds `V = Variant(2026)`, solutions, hidden tests and
known wrong answers.  `source` makes a class's version of it, `student` runs a hand-in in a process
that is fenced in, `grader` compares what comes out with the reference, `classroom` drives nbgrader.

hkt course release class --variant 2027
"""
