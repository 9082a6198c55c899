"""Schedulers alone, on an analytic denoiser, with every random draw recorded."""
import inspect

import numpy as np
import torch
from diffusers import schedulers
from diffusers.schedulers.scheduling_dpmsolver_sde import DPMSolverSDEScheduler
from diffusers.utils import torch_utils

from golden_inputs import noise, save_arrays, save_json
from golden_models import BETAS

SHAPE = (1, 4, 4, 4)
ALL_ROWS = 20  # longer runs keep their last row only
DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
LCM = {"clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1}
ONE = {"steps_offset": 1}
KARRAS = {**ONE, "use_karras_sigmas": True}

# class without its ending, configuration, steps, arguments of step()
CASES = [
    ("DDIM", DDIM, 10, {}), ("DDIM", DDIM, 10, {"eta": 0.7}), ("DDIM", DDIM, 1, {}), ("DDIM", DDIM, 3, {}),
    ("DDIM", {**DDIM, "prediction_type": "v_prediction"}, 10, {}),
    ("DDIM", {**DDIM, "timestep_spacing": "linspace"}, 7, {}),
    ("DDIM", {"clip_sample": False, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True,
              "prediction_type": "v_prediction"}, 10, {}),
    ("PNDM", {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}, 10, {}),
    ("PNDM", {"skip_prk_steps": False, "set_alpha_to_one": False, "steps_offset": 1}, 10, {}),
    ("PNDM", {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}, 50, {}),
    ("EulerDiscrete", ONE, 10, {}), ("EulerDiscrete", ONE, 50, {}), ("EulerDiscrete", ONE, 1, {}),
    ("EulerDiscrete", {**ONE, "timestep_spacing": "leading"}, 10, {}),
    ("EulerDiscrete", {**ONE, "timestep_spacing": "trailing"}, 4, {}),
    ("EulerDiscrete", KARRAS, 10, {}), ("EulerDiscrete", {**ONE, "use_exponential_sigmas": True}, 10, {}),
    ("EulerDiscrete", {**ONE, "use_beta_sigmas": True}, 10, {}),
    ("EulerDiscrete", {**ONE, "prediction_type": "v_prediction"}, 10, {}),
    ("EulerAncestralDiscrete", ONE, 10, {}), ("EulerAncestralDiscrete", {"timestep_spacing": "trailing"}, 1, {}),
    ("HeunDiscrete", ONE, 8, {}), ("HeunDiscrete", KARRAS, 6, {}),
    ("KDPM2Discrete", ONE, 8, {}), ("KDPM2AncestralDiscrete", ONE, 8, {}),
    ("LMSDiscrete", ONE, 10, {}), ("LMSDiscrete", KARRAS, 6, {}),
    ("DPMSolverMultistep", ONE, 10, {}), ("DPMSolverMultistep", ONE, 16, {}), ("DPMSolverMultistep", KARRAS, 10, {}),
    ("DPMSolverMultistep", {**ONE, "prediction_type": "v_prediction"}, 10, {}),
    ("DPMSolverMultistep", {**ONE, "solver_order": 3}, 10, {}),
    ("DPMSolverMultistep", {**ONE, "algorithm_type": "sde-dpmsolver++"}, 10, {}),
    ("DPMSolverMultistep", {**KARRAS, "algorithm_type": "sde-dpmsolver++"}, 10, {}),
    ("DPMSolverMultistep", {**ONE, "timestep_spacing": "trailing"}, 6, {}),
    ("DPMSolverMultistep", {**ONE, "final_sigmas_type": "sigma_min"}, 6, {}),
    ("DPMSolverMultistep", KARRAS, 50, {}),
    ("DPMSolverSinglestep", {}, 10, {}),
    ("DPMSolverSDE", ONE, 8, {}), ("DPMSolverSDE", KARRAS, 8, {}),
    ("UniPCMultistep", ONE, 10, {}), ("UniPCMultistep", {**ONE, "solver_order": 3}, 10, {}),
    ("UniPCMultistep", KARRAS, 10, {}),
    ("UniPCMultistep", {**ONE, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}, 10, {}),
    ("DEISMultistep", ONE, 10, {}),
    ("LCM", LCM, 4, {}), ("LCM", LCM, 8, {}), ("LCM", LCM, 1, {}),
    ("TCD", LCM, 4, {"eta": 0.3}), ("TCD", LCM, 8, {"eta": 0.0}),
    ("DDPM", {"clip_sample": False, "steps_offset": 1}, 10, {}),
    ("DDPM", {"clip_sample": False, "variance_type": "fixed_large", "steps_offset": 1}, 10, {}),
]


class RecordedNoise:
    """Stands in for diffusers' randn_tensor: draw i is noise(NAME.i), and all draws are kept in order."""

    def __init__(self, name):
        self.name, self.draws = name, []

    def __call__(self, shape, generator=None, device=None, dtype=None, layout=None):
        draw = noise(f"{self.name}.{len(self.draws)}", tuple(shape))
        self.draws.append(draw)
        return torch.from_numpy(draw.copy()).to(dtype or torch.float32)


_source = None
_patched = []


def _randn_tensor(*arguments, **named):
    return _source(*arguments, **named)


def record_noise(name):
    """From here on diffusers draws from a new RecordedNoise, which is returned."""
    global _source
    _source = RecordedNoise(name)
    import sys
    original = _patched[0] if _patched else torch_utils.randn_tensor
    if not _patched:
        _patched.append(original)
    torch_utils.randn_tensor = _randn_tensor
    for module_name, loaded in list(sys.modules.items()):
        if module_name.startswith("diffusers") and getattr(loaded, "randn_tensor", None) is original:
            loaded.randn_tensor = _randn_tensor
    return _source


def make_scheduler(name, config):
    """The scheduler and the configuration it was given: the betas where the class takes them."""
    kind = DPMSolverSDEScheduler if name == "DPMSolverSDEScheduler" else getattr(schedulers, name)
    known = inspect.signature(kind.__init__).parameters
    unknown = [key for key in config if key not in known]
    assert not unknown, (name, unknown)
    given = {key: value for key, value in {**BETAS, **config}.items() if key in known}
    return kind(**given), given


def analytic_denoiser(x, timestep):
    """eps(x, t) = x t / (t + 250) + 0.1 sin(4 x + 0.01 t), in float64, rounded once."""
    x, timestep = x.double(), float(timestep)
    return (x * (timestep / (timestep + 250)) + 0.1 * torch.sin(4 * x + 0.01 * timestep)).float()


def run_case(case_id, name, config, n_steps, step_arguments, start):
    scheduler, given = make_scheduler(name, config)
    scheduler.set_timesteps(n_steps)
    recorded = record_noise("scheduler" + case_id)
    if name == "DPMSolverSDEScheduler":
        scheduler.noise_sampler = lambda _from, _to: recorded(SHAPE)
    x, rows = torch.from_numpy(start.copy()) * scheduler.init_noise_sigma, []
    for timestep in scheduler.timesteps:
        out = analytic_denoiser(scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(out, timestep, x, **step_arguments).prev_sample.float()
        rows.append(x.numpy().reshape(-1).copy())
    assert np.isfinite(rows[-1]).all(), (name, config)
    kept = rows if n_steps <= ALL_ROWS else rows[-1:]
    arrays = {"timesteps": scheduler.timesteps.double().numpy(), "x": np.stack(kept)}
    if getattr(scheduler, "sigmas", None) is not None:
        arrays["sigmas"] = scheduler.sigmas.float().numpy()
    if recorded.draws:
        arrays["noise"] = np.stack(recorded.draws).reshape(len(recorded.draws), -1)
    effective = {key: value for key, value in dict(scheduler.config).items()
                 if isinstance(value, (bool, int, float, str, type(None)))}
    entry = {"id": case_id, "class": name, "config": given, "steps": n_steps, "step_kwargs": step_arguments,
             "init_noise_sigma": float(scheduler.init_noise_sigma), "model_calls": len(rows),
             "noise_draws": len(recorded.draws), "x_rows": "all" if len(kept) == len(rows) else "last only",
             "effective_config": effective}
    return arrays, entry


def write(folder):
    start = noise("scheduler.start", SHAPE)
    arrays, entries = {"x_init": start}, []
    for i, (name, config, n_steps, step_arguments) in enumerate(CASES):
        found, entry = run_case(f"{i:02d}", name + "Scheduler", config, n_steps, step_arguments, start)
        arrays |= {f"{i:02d}.{key}": value for key, value in found.items()}
        entries.append(entry)
    save_arrays(folder, "schedulers", arrays)
    save_json(folder, "schedulers", entries)
