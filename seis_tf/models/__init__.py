"""What networks of both tasks are made of: layers that can be stacked, and small pieces.

In: sizes, rates, seeds. Out: Keras layers that many networks can be trained with at once. Registered with Keras under
names that saved models keep. Imports `settings` only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "layers": ["ReshapeMaxPool1D", "StackableDropout", "UnfoldConv1D"],
        "pieces": ["dense_layer", "dropout_layer", "l2_regularizer"],
    },
)
