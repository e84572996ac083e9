//! The size limit of a store covers its database and its log.

use elpis::SessionId;
use elpis::settings::Durability;
use elpis::store::{SqliteStore, StateStore};
use rusqlite::Connection;

use crate::store::{change, settings};

#[test]
fn the_bound_holds_for_database_and_log_whoever_reads() {
    const MIB: u64 = 1 << 20;
    for (mib, batch) in [(1_u32, 1_usize), (1, 40), (2, 1), (4, 200)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moods.db");
        let bounded = settings(&path, Durability::Sync).max_mib(mib);
        let store = SqliteStore::open(&path, &bounded).unwrap();
        let sizes = || {
            ["", "-wal"]
                .map(|ending| {
                    let file = format!("{}{ending}", path.display());
                    std::fs::metadata(file).map_or(0, |file| file.len())
                })
                .iter()
                .sum::<u64>()
        };
        let mut written = 0_u64;
        let mut fill = |most: u64| {
            for _ in 0..most {
                let name = |number: usize| SessionId::new(format!("s{written}-{number}")).unwrap();
                let changes: Vec<_> = (0..batch)
                    .map(|number| change(&name(number), 0, 3))
                    .collect();
                let outcome = store.commit(&changes);
                assert!(
                    sizes() <= u64::from(mib) * MIB,
                    "{mib} MiB, {batch}: {}",
                    sizes()
                );
                if let Err(error) = outcome {
                    assert_eq!(error.kind(), "full", "{error}");
                    assert!(error.to_string().contains("store.max_mib"), "{error}");
                    return Some(error);
                }
                written += 1;
            }
            None
        };
        assert!(fill(1).is_none(), "{mib} MiB, {batch}");
        // Somebody reads, and does not end.
        let reader = Connection::open(&path).unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM session")
            .unwrap();
        let error = fill(100_000).expect("a bound");
        assert!(
            error.to_string().contains("a reader uses the store"),
            "{error}"
        );
        // Nothing of it was in vain: once nobody reads there is room again.
        reader.execute_batch("COMMIT").unwrap();
        assert!(fill(1).is_none(), "{mib} MiB, {batch}");
        fill(100_000).expect("a bound");
        drop(reader);
        drop(store);
        SqliteStore::open_to_read(&path)
            .unwrap()
            .check_file()
            .unwrap();
    }
}
