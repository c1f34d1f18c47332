"""CIFAR-10: ResNets, one pooled site as in the authors' release."""
