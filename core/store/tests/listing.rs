//! Sealed files as they are walked by whoever carries them elsewhere (LOG-15).
#![allow(clippy::unwrap_used)]

use sigillo_store::Store;
use sigillo_store::evidence::sealing::{FOLDER, Sealing};
use sigillo_store::evidence::{NewEvent, Stream};

#[tokio::test]
async fn log_15_sealed_files_are_walked_in_the_order_in_which_they_were_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let sealing =
        Sealing { folder: folder.path().join(FOLDER), server: "mail.alfa.example".into(), rotate_octets: 10_000_000 };
    for stream in [Stream::FrontEnd, Stream::MessageLog, Stream::FrontEnd] {
        let event = NewEvent { kind: "login".into(), ..NewEvent::default() };
        store.write(move |tx| tx.append_to(stream, event)).await.unwrap();
        assert_eq!(store.seal(&sealing, true).await.unwrap().len(), 1);
    }
    let all = store.read(|r| r.sealed_files_after(None, 10)).await.unwrap();
    let streams: Vec<Stream> = all.iter().map(|file| file.stream).collect();
    assert_eq!(streams, [Stream::FrontEnd, Stream::MessageLog, Stream::FrontEnd]);
    let first = all[0].name.clone();
    let rest = store.read(move |r| r.sealed_files_after(Some(&first), 10)).await.unwrap();
    assert_eq!(rest, all[1..]);
    let one = store.read(move |r| r.sealed_files_after(None, 1)).await.unwrap();
    assert_eq!(one, all[..1]);
    let second = all[1].name.clone();
    assert_eq!(store.read(move |r| r.sealed_file_named(&second)).await.unwrap().as_ref(), Some(&all[1]));
    assert!(store.read(|r| r.sealed_files_after(Some("nobody's"), 10)).await.is_err());
    assert_eq!(store.read(|r| r.sealed_file_named("nobody's")).await.unwrap(), None);
}
