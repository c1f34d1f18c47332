"""CIFAR-10: ResNets that meet at one pooled site, as in the authors' release, or at maps."""
