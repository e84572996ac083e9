//! Everybody who serves the model, in one run, with 1 to 16 clients.
//!
//! Each serves from a process of its own, so that memory and processor time are its own. They
//! take turns with each number of clients, and who goes first changes.

mod contestant;
mod row;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kind::{CONTEXT, Kind};
use crate::measure::{Outcome, Run};
use crate::stats::geometric_mean;
use contestant::{Contestant, Turn};
use row::Row;

/// Clients that ask at the same time.
const CLIENTS: &[usize] = &[1, 2, 4, 8, 16];

/// Tokens of each reply.
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
    // Elpis is the first of them and says how long the prompts are.
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
            // All prompts are of one length.
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
        "no Python library is there to compare with"
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

/// How much faster elpis was in the last turns than the fastest of the Python libraries.
fn lead(contestants: &[Contestant], rows: &[Row]) -> Option<f64> {
    let both = || contestants.iter().zip(rows);
    let ours = both().find(|(one, _)| one.name == Kind::Elpis.name())?;
    let theirs = both().filter(|(one, _)| one.python);
    let fastest = theirs.filter_map(|(_, row)| row.last()).reduce(f64::max)?;
    Some(ours.1.last()? / fastest)
}
