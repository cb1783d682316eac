"""A transformer before and after: nothing may differ."""

import torch

# a flag of diffusers that is false in the class, and after the first adapter false in the object
_HARMLESS = {"_hf_peft_config_loaded"}


class Look:
    """Everything of a module that could be left changed."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        self.modules = {name: (id(module), type(module)) for name, module in transformer.named_modules()}
        self.attributes = {name: set(vars(module)) - _HARMLESS for name, module in transformer.named_modules()}
        self.training = {name: module.training for name, module in transformer.named_modules()}
        self.hooks = {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in transformer.named_modules()
        }
        self.checkpointing = {
            name: getattr(module, "gradient_checkpointing", False) for name, module in transformer.named_modules()
        }
        self.requires_grad = {name: value.requires_grad for name, value in transformer.named_parameters()}
        self.no_gradients = all(parameter.grad is None for parameter in transformer.parameters())
        self.weights = {name: value.clone() for name, value in transformer.state_dict().items()}

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Look)
        mine, theirs = dict(vars(self)), dict(vars(other))
        weights, others = mine.pop("weights"), theirs.pop("weights")
        assert mine == theirs
        assert weights.keys() == others.keys()
        return all(torch.equal(weights[name], others[name]) for name in weights)

    __hash__ = None  # type: ignore[assignment]
