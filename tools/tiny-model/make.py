"""Makes the bundled model: tokenizer, training, export, steering vectors, evaluation, model card.

`python3 tools/tiny-model/make.py` runs every stage; `--stage NAME` runs one, from the files that earlier stages left
in the work folder and the output folder. Everything is seeded.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from tokenizers import Tokenizer

from bpe import train_tokenizer
from card import write_card
from check import check
from corpus import Corpus
from evaluate import PROMPTS, evaluate, fresh_prompts, table
from export import export, write_json
from grammar import Grammar
from model import Config, Llama
from train import train
from vectors import load_vectors, make_vectors

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "crates" / "elpis-backend" / "models" / "elpis-tiny"
STAGES = ("tokenizer", "train", "export", "vectors", "evaluate", "card")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=(*STAGES, "prompts"), action="append", help="run this stage only (may be repeated)")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="where intermediate files go")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--tokens", type=float, default=4.5e6, help="training tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def write_prompts(grammar, seed):
    """Draws the neutral prompts of prompts.json anew and keeps the rest of the file."""
    path = HERE / "prompts.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**data, "neutral": fresh_prompts(grammar, seed, PROMPTS)})


def train_model(model, grammar, tokenizer, args):
    corpus = Corpus(grammar, tokenizer, args.seed + 1, args.tokens)
    held_out = Corpus(grammar, tokenizer, args.seed + 2, 30000)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(corpus)} rows", flush=True)
    train(model, corpus, held_out, args.work, args.seed)


def main():
    args = arguments()
    stages = args.stage or STAGES
    grammar = Grammar()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    if "prompts" in stages:
        write_prompts(grammar, args.seed + 3)
    if "tokenizer" in stages:
        train_tokenizer(grammar, args.seed).save(str(args.work / "tokenizer.json"))
    if not set(stages) & set(STAGES[1:]):
        return
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    torch.manual_seed(args.seed)
    model = Llama(Config(vocab=tokenizer.get_vocab_size()))
    if "train" in stages:
        train_model(model, grammar, tokenizer, args)
    model.load_state_dict(torch.load(args.work / "weights.pt", weights_only=True))
    model.eval()
    if "export" in stages:
        export(model, tokenizer, args.out)
        check(model, tokenizer, grammar, args.out, args.seed)
    if "vectors" in stages:
        make_vectors(model, tokenizer, grammar, args.out / "vectors", args.seed + 4)
    if not {"evaluate", "card"} & set(stages):
        return
    vectors = load_vectors(grammar, args.out / "vectors")
    measured = args.work / "evaluation.json"
    if "evaluate" in stages:
        report = evaluate(model, tokenizer, grammar, vectors, args.seed + 5)
        write_json(measured, report)
        print("\n".join(table(report, grammar.moods)), flush=True)
    if "card" in stages:
        training = json.loads((args.work / "train.json").read_text())
        report = json.loads(measured.read_text())
        write_card(model, tokenizer, grammar, vectors, training, report, args.out / "README.md", args.seed + 6)


if __name__ == "__main__":
    main()
