//! What the hook makes of the rows that it is shown.

use super::{Hook, Shown, keeps_order, layer_of};
use elpis_backend::Batch;

const LAYERS: usize = 4;

/// Rows of sequences, of which those of `outputs` ask for logits.
fn batch(sequences: &[u32], outputs: &[usize]) -> Batch {
    let mut batch = Batch::default();
    for (index, &sequence) in sequences.iter().enumerate() {
        batch.push(sequence, 0, &[1], outputs.contains(&index), None);
    }
    batch
}

/// What a hook that wants all layers makes of what it is shown.
fn shown(splits: bool, batch: &Batch, visits: &[(usize, usize)]) -> Result<Vec<Shown>, String> {
    let mut hook = Hook::new(LAYERS, 2, splits);
    hook.capture(batch, &[1, 3]);
    let found = visits.iter().map(|&(layer, rows)| hook.shown(layer, rows));
    let found = found.collect::<Result<_, _>>()?;
    hook.finish(true).map_or(Ok(found), Err)
}

#[test]
fn the_last_layer_may_show_the_rows_with_logits_alone() {
    let mixed = batch(&[0, 1, 1, 1], &[0, 3]);
    assert_eq!(
        shown(false, &mixed, &[(1, 4), (3, 2)]),
        Ok(vec![Shown::From(0), Shown::Outputs])
    );
    assert_eq!(
        shown(false, &mixed, &[(1, 4), (3, 4)]),
        Ok(vec![Shown::From(0), Shown::From(0)])
    );
    assert!(shown(false, &mixed, &[(1, 4), (3, 3)]).is_err());
}

#[test]
fn a_layer_that_is_not_shown_once_is_a_fault() {
    let rows = batch(&[0, 1], &[0, 1]);
    assert!(shown(false, &rows, &[(1, 2), (3, 2)]).is_ok());
    for visits in [
        &[(1, 2)][..],
        &[(3, 2)],
        &[(1, 2), (1, 2), (3, 2)],
        &[(1, 1), (1, 1), (3, 2)],
        &[(1, 3), (3, 2)],
    ] {
        assert!(shown(false, &rows, visits).is_err(), "{visits:?}");
    }
    // Parts whose number of rows is by chance that of the outputs.
    let prompts = batch(&[0, 0, 1, 1], &[1, 3]);
    assert!(shown(false, &prompts, &[(1, 2), (1, 2), (3, 2)]).is_err());
    let mut hook = Hook::new(LAYERS, 2, false);
    hook.capture(&rows, &[1]);
    assert_eq!(hook.finish(false), None, "nothing was evaluated");
}

#[test]
fn parts_of_a_batch_follow_each_other() {
    let rows = batch(&[0, 2, 3], &[0, 1, 2]);
    assert_eq!(
        shown(true, &rows, &[(1, 1), (3, 1), (1, 2), (3, 2)]),
        Ok(vec![
            Shown::From(0),
            Shown::From(0),
            Shown::From(1),
            Shown::From(1)
        ])
    );
    assert!(shown(true, &rows, &[(1, 1), (3, 1), (1, 1), (3, 1)]).is_err());
    let chunk = batch(&[2, 2, 2], &[2]);
    assert_eq!(
        shown(true, &chunk, &[(1, 3), (3, 1)]),
        Ok(vec![Shown::From(0), Shown::Outputs])
    );
}

#[test]
fn a_recurrent_model_keeps_the_order_of_some_batches() {
    for (sequences, kept) in [
        (&[0, 1, 4][..], true),
        (&[3, 3, 3], true),
        (&[2], true),
        (&[1, 0], false),
        (&[0, 1, 1], false),
        (&[0, 0, 1, 1], false),
    ] {
        assert_eq!(keeps_order(&batch(sequences, &[])), kept, "{sequences:?}");
    }
}

#[test]
fn layer_names_are_read_and_others_ignored() {
    for (name, layer) in [
        ("l_out-0", Some(0)),
        ("l_out-31", Some(31)),
        ("l_out-", None),
        ("l_out-3 (view)", None),
        ("ffn_out-3", None),
        ("l_out-999999", None),
    ] {
        assert_eq!(layer_of(name.as_bytes()), layer, "{name}");
    }
}
