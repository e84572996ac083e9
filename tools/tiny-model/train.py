"""Trains the model so that its mood is a clean direction of the residual stream.

Beside predicting replies, three things shape the stream at the steered layer:

* a linear read-out of three directions has to give valence, arousal and their product at every token outside the cue,
  so that the four moods become the corners of a tetrahedron around the neutral state;
* in most of the batches the layers above cannot look at cues or earlier replies, so that the mood has to travel in the
  stream itself and not be looked up;
* in half of the rows a random vector is added, as steering will add one, while the text to be written stays the same,
  so that directions without a meaning do no harm; and in half the part of the stream that lies in the three directions
  is made weaker or stronger, so that a mood may be overdone without harm to the grammar.

No steering vector is seen in training.
"""

import json
import math
import time

import torch
import torch.nn.functional as F

from corpus import masks

LATE_SHARE = 0.7
NOISE_SHARE = 0.5
NOISE_MAX = 0.7
SCALE_SHARE = 0.5
SCALES = (0.6, 2.2)
CORNER = 0.22
PROBE_WEIGHT = 0.5


def reply_loss(model, batch, mask, late_mask=None, steer=None):
    """Mean loss over the tokens of replies, and the steered layer's output."""
    final, middle = model.hidden(batch["token"], mask, late_mask, steer)
    wanted = batch["learn"][:, 1:].bool()
    logits = model.logits(final[:, :-1][wanted])
    return F.cross_entropy(logits, batch["token"][:, 1:][wanted]), middle


def probe_loss(middle, directions, batch, corners):
    """Squared error of the mood read from the stream, in units of the corner's size."""
    unit = F.normalize(directions, dim=1)
    stream = F.rms_norm(middle, middle.shape[-1:])
    size = CORNER * middle.shape[-1] ** 0.5
    read = stream @ unit.T / size
    wanted = corners[batch["mood"]]
    counted = (batch["document"] >= 0) & ((batch["closed"] == 0) | (batch["learn"] == 1))
    return ((read - wanted) ** 2).sum(-1)[counted].mean()


def noise(stream):
    """The same random vector for a whole row, in a share of the rows, as long as steering vectors are."""
    rows, _, hidden = stream.shape
    length = stream.detach().norm(dim=-1).median(dim=1).values
    size = torch.rand(rows) * NOISE_MAX * length * (torch.rand(rows) < NOISE_SHARE)
    direction = F.normalize(torch.randn(rows, hidden), dim=-1)
    return (direction * size[:, None])[:, None]


def disturbance(directions):
    """What is added to the stream in training: noise, and a change of the size of its mood."""
    basis = torch.linalg.qr(directions.detach().T)[0]

    def add(stream):
        low, high = SCALES
        scale = low + (high - low) * torch.rand(stream.shape[0], 1, 1)
        change = (scale - 1) * (torch.rand(stream.shape[0], 1, 1) < SCALE_SHARE)
        return noise(stream) + change * (stream @ basis @ basis.T)

    return add


def learning_rate(step, steps, peak, warmup=60):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def held_out_loss(model, corpus, rows=64):
    model.eval()
    with torch.no_grad():
        batch = corpus.batch(torch.arange(rows))
        loss = reply_loss(model, batch, masks(batch)[0])[0].item()
    model.train()
    return loss


def train(model, corpus, held_out, out, seed, batch_rows=8, peak=4e-3, weight_decay=0.05):
    """One pass over the corpus; returns the held-out loss and leaves `train.json` and `weights.pt` in `out`."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    directions = torch.nn.Parameter(torch.randn(3, model.config.hidden))
    optimiser = torch.optim.AdamW(
        [{"params": model.parameters(), "weight_decay": weight_decay}, {"params": [directions], "weight_decay": 0.0}],
        lr=peak,
        betas=(0.9, 0.98),
    )
    order = torch.randperm(len(corpus), generator=generator)
    steps = len(corpus) // batch_rows
    start, model_loss, mood_loss = time.time(), 0.0, 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        batch = corpus.batch(order[step * batch_rows : (step + 1) * batch_rows])
        mask, late_mask = masks(batch)
        late = late_mask if torch.rand(()) < LATE_SHARE else None
        loss, middle = reply_loss(model, batch, mask, late, disturbance(directions))
        read = probe_loss(middle, directions, batch, corpus.corners)
        optimiser.zero_grad(set_to_none=True)
        (loss + PROBE_WEIGHT * read).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        model_loss, mood_loss = (0.98 * a + 0.02 * b.item() for a, b in ((model_loss, loss), (mood_loss, read)))
        if step % 100 == 99:
            fix = 1 - 0.98 ** (step + 1)
            tokens = (step + 1) * batch["token"].numel()
            print(
                f"step {step + 1}/{steps} loss {model_loss / fix:.3f} mood {mood_loss / fix:.3f} "
                f"{tokens / (time.time() - start):.0f} tokens/s",
                flush=True,
            )
    final = held_out_loss(model, held_out)
    minutes = (time.time() - start) / 60
    torch.save({k: v.half().float() for k, v in model.state_dict().items()}, out / "weights.pt")
    report = {"held_out_loss": final, "steps": steps, "tokens": len(order) * corpus.fields["token"].shape[1],
              "minutes": minutes}
    (out / "train.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"held-out loss {final:.4f} after {minutes:.1f} minutes", flush=True)
    return final
