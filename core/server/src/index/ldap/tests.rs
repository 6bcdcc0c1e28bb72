use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

use super::*;

/// A server that answers each request with what `answer` makes of it, and then ends the connection.
fn serve(mut stream: DuplexStream, answers: Vec<Vec<u8>>) -> tokio::task::JoinHandle<Vec<Vec<u8>>> {
    tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let mut session = Session { stream, id: 0 };
            let Ok(request) = session.read().await else { return asked };
            asked.push(request);
            stream = session.stream;
            if stream.write_all(&answer).await.is_err() {
                return asked;
            }
        }
        asked
    })
}

fn message(id: u8, tag: u8, operation: &[u8], controls: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&element(INTEGER, &[id]), &element(tag, operation), controls].concat())
}

fn ended(code: u8) -> Vec<u8> {
    [element(ENUMERATED, &[code]), element(OCTET_STRING, b""), element(OCTET_STRING, b"words\r\n\x1b[31m")].concat()
}

fn bound() -> Vec<u8> {
    message(1, BIND_RESPONSE, &ended(0), &[])
}

fn entry(id: u8, name: &str, attributes: &[(&str, &[&[u8]])]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(kind, values)| {
            let values: Vec<u8> = values.iter().flat_map(|value| element(OCTET_STRING, value)).collect();
            element(SEQUENCE, &[element(OCTET_STRING, kind.as_bytes()), element(SET, &values)].concat())
        })
        .collect();
    let content = [element(OCTET_STRING, name.as_bytes()), element(SEQUENCE, &attributes)].concat();
    message(id, SEARCH_ENTRY, &content, &[])
}

fn page_end(id: u8, cookie: &[u8]) -> Vec<u8> {
    let value = element(SEQUENCE, &[element(INTEGER, &[0]), element(OCTET_STRING, cookie)].concat());
    let control = [element(OCTET_STRING, PAGED_RESULTS), element(OCTET_STRING, &value)].concat();
    message(id, SEARCH_DONE, &ended(0), &element(CONTROLS, &element(SEQUENCE, &control)))
}

async fn found(answers: Vec<Vec<u8>>) -> (Result<String, String>, Vec<Vec<u8>>) {
    let (ours, theirs) = duplex(1 << 16);
    let server = serve(theirs, answers);
    let found = search(ours, "o=postacert", false).await.map(|ldif| String::from_utf8(ldif).unwrap());
    (found, server.await.unwrap())
}

#[tokio::test]
async fn pages_are_put_together_in_the_order_of_names() {
    let first = [entry(2, "o=b", &[("managedDomains", &[b"b.example", b"c.example"])]), page_end(2, b"more")].concat();
    let reference = message(3, SEARCH_REFERENCE, &element(OCTET_STRING, b"ldap://elsewhere"), &[]);
    let second =
        [reference, entry(3, "o=a", &[("providerCertificate;binary", &[&[0x30, 0]])]), page_end(3, b"")].concat();
    let (ldif, asked) = found(vec![bound(), first, second]).await;
    assert_eq!(
        ldif.unwrap(),
        "version: 1\n\ndn: o=a\nproviderCertificate;binary:: MAA=\n\ndn: o=b\nmanagedDomains: b.example\nmanagedDomains: c.example\n"
    );
    let has = |request: &[u8], words: &[u8]| request.windows(words.len()).any(|w| w == words);
    assert!(has(&asked[1], PAGED_RESULTS) && has(&asked[1], b"o=postacert") && has(&asked[1], b"modifyTimestamp"));
    assert!(has(&asked[2], b"more"), "the cookie goes back as it came");
}

/// A server without paging answers all at once (RFC 2696 §3).
#[tokio::test]
async fn no_control_means_that_it_was_all() {
    let all = [entry(2, "o=a", &[]), message(2, SEARCH_DONE, &ended(0), &[])].concat();
    assert_eq!(found(vec![bound(), all]).await.0.unwrap(), "version: 1\n\ndn: o=a\n");
}

#[tokio::test]
async fn a_part_of_the_index_is_no_index() {
    let refused = |code| vec![bound(), [entry(2, "o=a", &[]), message(2, SEARCH_DONE, &ended(code), &[])].concat()];
    for code in [3, 4, 10, 32, 50] {
        let said = found(refused(code)).await.0.unwrap_err();
        assert!(said.starts_with(&format!("the server refuses the search with code {code} ")), "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
    }
    let said = found(vec![message(1, BIND_RESPONSE, &ended(49), &[])]).await.0.unwrap_err();
    assert!(said.starts_with("the server refuses the bind with code 49"), "{said}");
    let cut = entry(2, "o=a", &[]);
    let said = found(vec![bound(), cut[..cut.len() - 1].to_vec()]).await.0.unwrap_err();
    assert_eq!(said, "the server ended the connection");
    assert!(found(vec![bound(), cut]).await.0.is_err());
}

#[tokio::test]
async fn what_a_hostile_server_sends() {
    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "the server does not speak LDAP"),
        (&[0x30, 0x80], "the server's answer is malformed"),
        (&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], "a message of the server is longer than an entry can be"),
        (
            &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "a message of the server is longer than an entry can be",
        ),
        (&[0x30, 0x00], "the server's answer is malformed"),
        (&[0x30, 0x05, 2, 1, 0, 0x78, 0], "the server answers what was not asked, or ends the session"),
        (&[0x30, 0x05, 2, 1, 2, 0x04, 0], "the server's answer is malformed"),
    ] {
        assert_eq!(found(vec![bound(), answer.to_vec()]).await.0.unwrap_err(), words, "{answer:?}");
    }
    // Nothing is parsed by recursion.
    let nested = element(SEQUENCE, &[0x30, 0x80].repeat(100_000));
    assert!(found(vec![bound(), nested]).await.0.is_err());
    let endless = vec![page_end(2, b"x"); 3];
    assert!(found([vec![bound()], endless].concat()).await.0.is_err(), "the second page has another number");
    let long = "x".repeat(40_000);
    let many: Vec<u8> = (0..PROVIDERS_MAX + 1).flat_map(|n| entry(2, &format!("o={n}"), &[])).collect();
    let said = found(vec![bound(), many]).await.0.unwrap_err();
    assert_eq!(said, "the server has more than an index can have");
    let named =
        [entry(2, "o=a", &[("bad\nname: x", &[b"y"]), ("description", &[long.as_bytes()])]), page_end(2, b"")].concat();
    assert!(!found(vec![bound(), named]).await.0.unwrap().contains("bad"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(0x30u8), Just(4), Just(0x84), any::<u8>()], 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let framed = element(SEQUENCE, &[element(INTEGER, &[2]), bytes.clone()].concat());
        for answer in [bytes, framed] {
            let (found, _) = runtime.block_on(found(vec![bound(), answer]));
            prop_assert!(found.is_err());
        }
    }
}
