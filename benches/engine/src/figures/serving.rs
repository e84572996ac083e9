//! Compares all contestants that can serve the model, with 1 to 16 clients.
//!
//! Each contestant has its own process, so that its memory and processor time can be measured. The
//! contestants take turns with each number of clients, and alternate in going first.

mod contestant;
mod row;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kind::{CONTEXT, Kind};
use crate::measure::{Outcome, Run};
use crate::stats::geometric_mean;
use contestant::{Contestant, Turn};
use row::Row;

/// Numbers of concurrent clients.
const CLIENTS: &[usize] = &[1, 2, 4, 8, 16];

/// Number of tokens of each reply.
const TOKENS: usize = 48;

pub fn run(run: &Run) -> Result<Outcome> {
    let (counts, tokens) = if run.smoke {
        (&CLIENTS[..2], 4)
    } else {
        (CLIENTS, TOKENS)
    };
    let most = *counts.last().context("no clients")?;
    let mut contestants = contestant::all(run, most)?;
    let mut turn = Turn {
        clients: 1,
        tokens,
        prompt_tokens: Vec::new(),
        seed: 0,
    };
    // Elpis is the first of them, because its answer contains the lengths of the prompts.
    for contestant in &mut contestants {
        let told = contestant.serve(&turn)?.prompt_tokens;
        if turn.prompt_tokens.is_empty() {
            turn.prompt_tokens = told;
        }
    }
    let prompt_tokens = turn.prompt_tokens.first().copied();
    let mut rows: Vec<Vec<Row>> = counts
        .iter()
        .map(|_| contestants.iter().map(|_| Row::default()).collect())
        .collect();
    let mut ratios = Vec::new();
    for round in 0..run.rounds {
        let mut leads = Vec::new();
        for (&clients, rows) in counts.iter().zip(&mut rows) {
            turn.clients = clients;
            turn.seed += 1;
            // All prompts have the same length.
            turn.prompt_tokens = prompt_tokens.into_iter().cycle().take(clients).collect();
            for index in 0..contestants.len() {
                let index = (index + round) % contestants.len();
                rows[index].add(&contestants[index].serve(&turn)?);
            }
            leads.push(lead(&contestants, rows));
        }
        let lead = leads.into_iter().collect::<Option<Vec<_>>>();
        let told = lead.as_deref().map(geometric_mean);
        run.tell(
            round,
            &told.map_or_else(String::new, |lead| format!("{lead:.3}")),
        );
        ratios.extend(told);
    }
    let mut told = Vec::new();
    for (&clients, rows) in counts.iter().zip(&rows) {
        for (contestant, row) in contestants.iter().zip(rows) {
            told.push(row.json(contestant, clients)?);
        }
    }
    ensure!(
        !ratios.is_empty() || run.smoke,
        "there is no Python library to compare with"
    );
    let mut about: Vec<_> = contestants.iter().map(|one| one.about.as_str()).collect();
    about.dedup();
    let about = about.join("; ");
    Ok(Outcome::median(ratios)
        .with("context_length", CONTEXT)
        .with("prompt_tokens", prompt_tokens)
        .with("tokens", tokens)
        .with("reference", about)
        .with("rows", Value::Array(told)))
}

/// The rate of elpis over that of the fastest Python library, in the last turns.
fn lead(contestants: &[Contestant], rows: &[Row]) -> Option<f64> {
    let both = || contestants.iter().zip(rows);
    let ours = both().find(|(one, _)| one.name == Kind::Elpis.name())?;
    let theirs = both().filter(|(one, _)| one.python);
    let fastest = theirs.filter_map(|(_, row)| row.last()).reduce(f64::max)?;
    Some(ours.1.last()? / fastest)
}
