"""nbgrader's grading without running anything: the outputs are those of the process of its own."""

from nbgrader.preprocessors import NbGraderPreprocessor


def playback(results: dict) -> type:
    """A preprocessor that puts the graded outputs of (student, assignment) into its notebook."""

    class Playback(NbGraderPreprocessor):
        def preprocess(self, notebook, resources):
            facts = resources["nbgrader"]
            graded = results[facts["student"], facts["assignment"]].notebook
            for cell, run in zip(notebook.cells, graded.cells):
                if cell.cell_type == "code":
                    cell.outputs = run.outputs
            return notebook, resources

    return Playback
