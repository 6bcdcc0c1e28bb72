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

/// Content that was only read is given back; content that a message came to name stays.
#[tokio::test]
async fn what_nothing_names_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let large = |byte: u8| {
        let mut spool = store.spool();
        spool.write(&vec![byte; 2 << 20]).unwrap();
        spool.finish().unwrap()
    };
    let (named, loose) = (large(1), large(2));
    let file = |rope: &sigillo_mail::Rope| match rope.segments()[0] {
        sigillo_mail::Segment::Range(range) => range.file,
        _ => panic!("large content lies in a file"),
    };
    let (kept, gone) = (file(&named), file(&loose));
    let content = named.clone();
    store.write(move |tx| tx.put_message(&content)).await.unwrap();
    store.write(move |tx| [kept, gone].into_iter().try_for_each(|file| tx.give_back_unnamed(file))).await.unwrap();
    store.write(|_| Ok(())).await.unwrap(); // files go after the answer and before the next commit
    assert_eq!(named.read(&**store.segments(), 0, 1).unwrap().as_ref(), [1]);
    assert!(loose.read(&**store.segments(), 0, 1).is_err());
}
