"""The resources of tokenfactory.dev/v1alpha1. These models are the source; crds/ is generated from them."""
