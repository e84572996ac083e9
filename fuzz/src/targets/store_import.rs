use elpis::store::{Import, Imported};

/// Exported lines: an accepted line is a session whose journal leads to its state.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut import = Import::default();
    for line in text.lines() {
        match import.take(line) {
            Ok(None | Some(Imported::Conversation(..))) => {}
            Ok(Some(Imported::Session(change))) => {
                let mut again = None;
                for entry in &change.entries {
                    elpis::emotion::replay_entry(&mut again, entry)
                        .expect("it was possible before");
                }
                assert!(change.first == 0 && again == change.after);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
}
