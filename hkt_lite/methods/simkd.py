"""SimKD as an auxiliary loss: the parent's head on the child's projected feature.

Chen, Mei, Zhang, Wang, Feng and Chen, "Knowledge distillation with the reused teacher classifier",
CVPR 2022.  Theirs trains a projector R by |R(c) - p|^2 alone and *tests* the parent's head on R(c):
child, projector and head are deployed.  Our children do not grow: the child's own head learns from
L_c and is tested; R, one linear map (the smallest of theirs), and the parent's tail serve in
training only.  The nearest kin of HKT's L_p*, without a mixture.
"""

from torch import Tensor

from .etm import resized
from .fitnet import FitNet
from .options import number


class SimKD(FitNet):
    """FitNet's L_c + beta |R(c) - p|^2, and head times the loss of the parent's tail on R(c)."""

    name, title, order = "simkd", "SimKD auxiliary", 70

    class Options(FitNet.Options):
        head: float = number(1.0)

    def __init__(self, child, parent, **given):
        super().__init__(child, parent, **given)
        self.check_distinct("parent")

    def forward(self, batch) -> dict[str, Tensor]:
        terms, regressed, inherited = self.hinted(batch)
        values = {
            site.parent: list(map(resized, calls, inherited.features[site.parent]))
            for site, calls in zip(self.sites, regressed)
        }
        L_head = self.loss(self.parent.tail(values, inherited, batch), batch)
        return {**terms, "L_head": self.options.head * L_head}
