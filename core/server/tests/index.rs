//! The index of providers of a server: taken, kept, followed, refused, and found again after a restart.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigillo_server::Config;
use sigillo_server::index::{Accept, Index, keeper, own};
use sigillo_store::evidence::Search;
use sigillo_store::{DomainClass, Store};
use sigillo_trust::{Directory, Provider};

fn text(count: usize) -> String {
    let providers = (0..count).map(|n| Provider {
        name: format!("Provider {n}"),
        mail_receipt: format!("ricevute@p{n}.example"),
        managed_domains: vec![Arc::from(format!("pec.p{n}.example"))],
        certificates: vec![format!("certificate {n}").into_bytes()],
        ..Provider::default()
    });
    Directory::from_providers(providers).unwrap().to_ldif()
}

struct House {
    folder: tempfile::TempDir,
}

impl House {
    /// A configuration with these lines under `trust`.
    fn new(trust: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname: mail.alfa.example\npolicy: policy.yaml\ntls: {{ certificate: tls.pem, key: tls.key }}\n\
             listeners:\n  - {{ protocol: relay, address: \"127.0.0.1:25\", tls: starttls }}\ntrust:\n{trust}"
        );
        std::fs::write(folder.path().join("sigillo.yaml"), text).unwrap();
        House { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> Result<Config, String> {
        Config::load(&self.path("sigillo.yaml")).map_err(|error| error.to_string())
    }

    fn index(&self) -> Arc<Index> {
        Arc::new(Index::open(&self.config().unwrap()).unwrap())
    }

    fn store(&self) -> Store {
        Store::open_beside(&self.path("data")).unwrap()
    }
}

const UNSIGNED: &str = "  index: { source: index.ldif, signed: false }\n";

async fn codes(store: &Store) -> Vec<String> {
    let search = Search { limit: 1000, ..Search::default() };
    let records = store.read(move |r| r.search_evidence(&search)).await.unwrap();
    let code = |details: &[(String, String)]| details.iter().find(|(name, _)| name == "code").unwrap().1.clone();
    records.iter().filter(|record| record.event.kind == "index-update").map(|r| code(&r.event.details)).collect()
}

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn an_edition_is_taken_kept_and_found_again() {
    let house = House::new(UNSIGNED);
    let store = house.store();
    put(&house.path("index.ldif"), &text(20));
    let index = house.index();
    let update = index.fetch(&store, Accept::default()).await.unwrap();
    assert_eq!(update.edition.domains(), 20);
    assert!(index.directory().is_certified("PEC.p19.example"));
    let held = index.directory();
    put(&house.path("index.ldif"), &text(21));
    let update = index.fetch(&store, Accept::default()).await.unwrap();
    assert_eq!(update.changes.unwrap().providers_added, ["Provider 20"]);
    assert!(index.directory().is_certified("pec.p20.example"));
    assert!(!held.is_certified("pec.p20.example"), "who holds an edition goes on with it");
    assert!(index.fetch(&store, Accept::default()).await.unwrap().changes.is_none(), "the same again");
    // The source is away: the kept copy counts, at a start as well.
    std::fs::remove_file(house.path("index.ldif")).unwrap();
    assert!(index.fetch(&store, Accept::default()).await.is_err());
    assert!(house.index().directory().is_certified("pec.p20.example"));
    assert_eq!(codes(&store).await, ["OK", "OK", "OK", "ERR"]);
    assert!(index.last_success() > 0 && index.age().unwrap() < 600_000);
}

#[tokio::test]
async fn whatever_is_wrong_leaves_the_edition_in_use() {
    let house = House::new(UNSIGNED);
    let (store, index) = (house.store(), house.index_with(&text(20)));
    index.fetch(&store, Accept::default()).await.unwrap();
    let duplicate = text(20).replace("pec.p7.example", "pec.p8.example");
    let hash = text(20).replacen("providerCertificateHash: ", "providerCertificateHash: 0", 1);
    for (body, words) in [
        ("", "there is no provider"),
        ("<html>", "line 1"),
        (&text(20)[..700], "line"),
        (&duplicate, "already managed"),
        (&hash, "has this hash"),
        (&text(17), "lost 3 of 20 providers"),
    ] {
        put(&house.path("index.ldif"), body);
        let said = index.fetch(&store, Accept::default()).await.unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(index.directory().providers().len(), 20);
        assert_eq!(house.index().directory().providers().len(), 20, "on disk as well");
    }
    assert_eq!(codes(&store).await.len(), 7);
    put(&house.path("index.ldif"), &text(17));
    let accept = Accept { shrink: true, ..Accept::default() };
    assert_eq!(index.fetch(&store, accept).await.unwrap().changes.unwrap().providers_removed.len(), 3);
}

impl House {
    fn index_with(&self, text: &str) -> Arc<Index> {
        put(&self.path("index.ldif"), text);
        self.index()
    }
}

/// A command beside a running server is another process with an index of its own over the same folder.
#[tokio::test]
async fn what_a_command_takes_the_server_takes_too() {
    let house = House::new(UNSIGNED);
    let (store, server) = (house.store(), house.index_with(&text(20)));
    server.fetch(&store, Accept::default()).await.unwrap();
    assert!(!server.reload(), "nothing is new");
    let command = house.index();
    command.import(&store, text(21).into_bytes(), "by hand", Accept::default()).await.unwrap();
    assert!(!server.directory().is_certified("pec.p20.example"));
    assert!(server.reload());
    assert!(server.directory().is_certified("pec.p20.example"));
    assert_eq!(server.edition().unwrap().source, "by hand");
    assert!(!server.reload());
    // A fetch that was under way meanwhile is held against what is in use now, not against what was.
    command.import(&store, text(40).into_bytes(), "by hand", Accept::default()).await.unwrap();
    let said = server.import(&store, text(21).into_bytes(), "late", Accept::default()).await.unwrap_err();
    assert!(said.contains("lost 19 of 40"), "{said}");
    assert_eq!(server.directory().providers().len(), 40);
}

#[tokio::test]
async fn a_damaged_copy_gives_way_to_the_one_before_it() {
    let house = House::new(UNSIGNED);
    let (store, index) = (house.store(), house.index_with(&text(20)));
    index.fetch(&store, Accept::default()).await.unwrap();
    put(&house.path("index.ldif"), &text(21));
    index.fetch(&store, Accept::default()).await.unwrap();
    std::fs::remove_file(house.path("index.ldif")).unwrap();
    let current = house.path("data/index/current.ldif");
    let whole = std::fs::read(&current).unwrap();
    for damaged in [&whole[..0], &whole[..whole.len() / 2], [whole.as_slice(), b"x"].concat().as_slice()] {
        std::fs::write(&current, damaged).unwrap();
        assert_eq!(house.index().directory().providers().len(), 20);
        assert!(!index.reload() || index.directory().providers().len() == 20);
    }
    // What a crash leaves of an attempt does not matter.
    std::fs::write(&current, &whole).unwrap();
    put(&house.path("data/index/next.ldif"), "half of");
    put(&house.path("data/index/previous.new"), "old");
    assert_eq!(house.index().directory().providers().len(), 21);
    house.index().import(&store, text(22).into_bytes(), "x", Accept::default()).await.unwrap();
    assert_eq!(house.index().directory().providers().len(), 22);
    std::fs::remove_file(&current).unwrap();
    std::fs::remove_file(house.path("data/index/previous.ldif")).unwrap();
    // Without any, a server does not start; a command may still bring one.
    let empty = house.index();
    assert!(empty.edition().is_none());
    let said = keeper::begin(&empty, &store).await.unwrap_err().to_string();
    assert!(said.contains("sigillo index import FILE"), "{said}");
    empty.import(&store, text(2).into_bytes(), "by hand", Accept::default()).await.unwrap();
    keeper::begin(&house.index(), &store).await.unwrap();
}

#[tokio::test]
async fn the_operator_s_own_file_is_believed_as_it_stands() {
    let house = House::new("  directory: index.ldif\n");
    let (store, index) = (house.store(), house.index_with(&text(20)));
    assert!(index.directory().is_certified("pec.p19.example"), "before anything is taken");
    index.fetch(&store, Accept::default()).await.unwrap();
    put(&house.path("index.ldif"), &text(2));
    index.fetch(&store, Accept::default()).await.unwrap();
    assert_eq!(house.index().directory().providers().len(), 2);
    put(&house.path("index.ldif"), "no colon\n");
    assert!(index.fetch(&store, Accept::default()).await.is_err());
    assert_eq!(index.directory().providers().len(), 2);
    let said = Index::open(&house.config().unwrap()).err().unwrap().to_string();
    assert!(said.contains("index.ldif") && said.contains("line 1"), "{said}");
}

#[test]
fn credentials_in_the_source_are_refused_and_not_repeated() {
    for source in [
        "https://name:hush@a.example/b",
        "https://hush@a.example",
        "https://name:hush@a.example?b",
        "ldaps://name:hush@a.example/o=b",
        "ldap://name:hush@[::1]:389",
        "ftp://name:hush@a.example/b",
    ] {
        let trust = format!("  index: {{ source: \"{source}\", signed: false }}\n");
        let said = House::new(&trust).config().err().unwrap_or_default();
        assert!(said.contains("trust.index.source has a name or password before '@'"), "{source}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn contradictions_are_named() {
    for (trust, words) in [
        ("  directory: a\n  index: { source: a, signed: false }\n", "directory and index are two sources"),
        ("  index: { source: a }\n", "signer: is missing"),
        ("  index: { source: a, signed: false, signer: { certificates: b } }\n", "contradicts signed: false"),
        ("  index: { source: a, signer: { anchors: b } }\n", "certificates, or anchors with subject"),
        ("  index: { source: a, signer: { anchors: b, certificates: c, subject: d } }\n", "certificates, or anchors"),
        ("  index: { source: \"http://a/b\", signed: false }\n", "no file, https://"),
        ("  index: { source: \"ldaps://a\", signer: { certificates: b } }\n", "say signed: false"),
        ("  index: { source: a, signed: false, every: 25h }\n", "10s to 24h"),
        ("  index: { source: a, signed: false, every: 1s }\n", "10s to 24h"),
        ("  index: { source: a, signed: false, every: soon }\n", "no time such as 24h"),
        ("  index: { source: a, signed: false, client-key: b }\n", "go together"),
        ("  index: { source: a, signed: false, shrink-percent: 101 }\n", "0 to 100"),
        ("  index: { source: a, signd: false }\n", "signd"),
        ("  own: { provider-name: A, mail-receipt: a@a.example, key: none }\n", "no key 'none'"),
    ] {
        let said = House::new(trust).config().err().unwrap_or_default();
        assert!(said.contains(words), "{trust}{words}: {said}");
    }
}

#[tokio::test]
async fn a_certified_domain_that_the_index_does_not_know_is_told() {
    let house = House::new(UNSIGNED);
    let (store, index) = (house.store(), house.index_with(&text(2)));
    index.fetch(&store, Accept::default()).await.unwrap();
    for (name, class) in [
        ("pec.p0.example", DomainClass::Certified),
        ("pec.altra.example", DomainClass::Certified),
        ("ordinaria.example", DomainClass::Ordinary),
    ] {
        store.write(move |tx| tx.add_domain(&name.parse().unwrap(), class)).await.unwrap();
    }
    let certified = own::certified(&store).await.unwrap();
    let config = house.config().unwrap();
    let told = own::differences(&config, &index.directory(), &certified);
    assert_eq!(
        told,
        [
            "pec.altra.example is certified here and is not in the index of providers: to everybody else its mail is ordinary"
        ]
    );
    let found = sigillo_server::index::check::findings(&config).await;
    assert!(found.iter().any(|finding| finding.code == "W703" && !finding.is_error()), "{found:?}");
    let many: Vec<String> = (0..100).map(|n| format!("d{n}.example")).collect();
    let told = own::differences(&config, &index.directory(), &many);
    assert_eq!((told.len(), told[20].starts_with("and 80 more")), (21, true));
}
