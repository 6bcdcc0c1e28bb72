//! Runs the text dialogs of `tests/dialogs/imap` (their form: `support/dialog.rs`).
//!
//! Accounts: mario@alfa.example, luigi@alfa.example, with the passwords secret-mario and secret-luigi; and
//! anna@alfa.example, whose password secret-anna must be changed first; carla@alfa.example (secret-carla) has an archive.

#[path = "support/dialog.rs"]
mod dialog;
mod support;

use std::path::Path;
use std::sync::Arc;

use sigillo_imap::Backend;
use support::tls;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialog_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogs/imap");
    let backend = || async {
        let memory = support::Memory::default();
        memory.account("mario@alfa.example", "secret-mario");
        memory.account("luigi@alfa.example", "secret-luigi");
        memory.account("carla@alfa.example", "secret-carla");
        let kept = ["Subject: uno\r\n\r\na\r\n", "Subject: due\r\n\r\nb\r\n"];
        memory.archive("carla@alfa.example", "2026/11/Received", &kept);
        memory.account("anna@alfa.example", "secret-anna");
        memory.bar("anna@alfa.example", "this is the first password: change it before the first use");
        Arc::new(memory) as Arc<dyn Backend>
    };
    dialog::run_all(&folder, backend).await;
}
