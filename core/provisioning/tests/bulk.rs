//! Tables of mailboxes (ADM-15): every mistake at once, the same result however often and wherever it is interrupted.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use sigillo_auth::Credential;
use sigillo_provisioning::bulk::{BulkReport, BulkRequest, Catalogue, OfferFigures, RowOutcome};
use sigillo_provisioning::{Actor, Role};
use sigillo_store::accounts::Kind;
use support::{House, by};

struct Shop;

impl Catalogue for Shop {
    fn offer(&self, name: &str) -> Result<OfferFigures, String> {
        match name {
            "aziende" => Ok(OfferFigures {
                kinds: vec![Kind::MultiUser],
                quota: 5 << 30,
                daily_sends: None,
                settings: vec![("archive".into(), "on".into())],
            }),
            _ => Err(format!("there is no offer '{name}'")),
        }
    }

    fn setting(&self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("forwarding", "allowed" | "denied") => Ok(()),
            _ => Err(format!("{name} cannot be {value}")),
        }
    }

    fn quota(&self) -> u64 {
        1 << 30
    }
}

fn request(house: &House, table: &str) -> BulkRequest {
    BulkRequest {
        table: table.into(),
        dry_run: false,
        skip_errors: false,
        credentials: Some(house.folder.path().join("first.csv")),
        at_once: 4,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

async fn run(house: &House, table: &str) -> BulkReport {
    run_by(house, &house.root, table).await
}

async fn run_by(house: &House, actor: &Actor, table: &str) -> BulkReport {
    house.provisioning.add_mailboxes(actor, request(house, table), &Shop, |_, _| {}).await.unwrap()
}

/// Login and password of the file.
fn passwords(house: &House) -> BTreeMap<String, String> {
    let mut reader = csv::Reader::from_path(house.folder.path().join("first.csv")).unwrap();
    reader.records().map(|record| record.map(|r| (r[0].to_owned(), r[1].to_owned())).unwrap()).collect()
}

/// Everything that is there, but for passwords and instants.
fn state(house: &House) -> Vec<String> {
    let store = house.provisioning.store();
    let accounts = store.look(|reader| reader.accounts()).unwrap();
    let describe = |account: &sigillo_store::Account| {
        let users = store.look(|reader| reader.users_of(&account.address)).unwrap();
        let logins: Vec<String> = users.into_iter().map(|user| user.login).collect();
        let settings = store.look(|reader| reader.account_settings(&account.address)).unwrap();
        format!("{} {:?} {} {logins:?} {settings:?}", account.address, account.kind, account.quota)
    };
    accounts.iter().map(describe).collect()
}

const TABLE: &str = "address;kind;offer;quota;operators;set:forwarding\n\
    ada@pec.alfa.example;;;;;allowed\n\
    office@pec.alfa.example;;aziende;;bruno carla;\n\
    robot@pec.alfa.example;application;;512 MB;;\n";

#[tokio::test]
async fn adm_15_a_table_becomes_mailboxes_and_a_second_run_changes_nothing() {
    let house = House::with_customer().await;
    let first = run(&house, TABLE).await;
    assert_eq!((first.added, first.unchanged, first.failed), (3, 0, 0));
    let (before, trail) = (state(&house), house.trail().await.len());
    assert_eq!(
        before,
        [
            "ada@pec.alfa.example Individual 1073741824 [\"ada@pec.alfa.example\"] [(\"forwarding\", \"allowed\")]",
            "office@pec.alfa.example MultiUser 5368709120 [\"office@pec.alfa.example\", \"bruno\", \"carla\"] \
         [(\"archive\", \"on\")]",
            "robot@pec.alfa.example Application 536870912 [\"robot@pec.alfa.example\"] []",
        ]
    );
    let file = passwords(&house);
    assert_eq!(file.len(), 5);
    for (login, password) in &file {
        let user = house.provisioning.store().look(|reader| reader.user(login)).unwrap().unwrap();
        assert!(user.initial && user.credential.parse::<Credential>().unwrap().verify(password), "{login}");
    }
    let second = run(&house, TABLE).await;
    assert_eq!((second.added, second.unchanged, second.failed), (0, 3, 0));
    assert_eq!((state(&house), house.trail().await.len(), passwords(&house)), (before, trail, file));
}

#[tokio::test]
async fn adm_15_all_mistakes_are_told_at_once_and_nothing_is_made() {
    let house = House::with_customer().await;
    house.add("taken@pec.alfa.example").await;
    let table = "address,kind,offer,quota,operators,set:forwarding\n\
        good@pec.alfa.example,,,,,\n\
        x@pec.alfo.example,,,,,\n\
        taken@pec.alfa.example,,,5GB,,\n\
        good@PEC.alfa.example,,,,,\n\
        o@pec.alfa.example,,platinum,,,\n\
        p@pec.alfa.example,individual,aziende,,,\n\
        q@pec.alfa.example,,,,bruno,\n\
        r@pec.alfa.example,,,,,maybe\n\
        not an address,,,,,\n\
        s@pec.alfa.example,multi-user,,,taken@pec.alfa.example,\n";
    let report = run(&house, table).await;
    let found: Vec<(u64, &str)> = report
        .rows
        .iter()
        .filter(|row| row.outcome == RowOutcome::Failed)
        .map(|row| (row.line, row.column.as_str()))
        .collect();
    let columns =
        ["address", "address", "address", "offer", "kind", "operators", "set:forwarding", "address", "operators"];
    assert_eq!(found, (3..).zip(columns).collect::<Vec<_>>());
    assert!(report.rows.iter().any(|row| row.remedy.contains("did you mean pec.alfa.example?")));
    assert!(report.rows.iter().any(|row| row.problem.contains("quota is 1048576, here 5368709120")));
    assert_eq!((report.added, report.not_reached, state(&house).len()), (0, 1, 1));
    assert_eq!(report.to_csv().lines().count(), 11);
    let mut skipping = request(&house, table);
    skipping.skip_errors = true;
    let report = house.provisioning.add_mailboxes(&house.root, skipping, &Shop, |_, _| {}).await.unwrap();
    assert_eq!((report.added, report.failed, state(&house).len()), (1, 9, 2));
}

#[tokio::test]
async fn adm_15_a_dry_run_changes_nothing_and_needs_no_file() {
    let house = House::with_customer().await;
    let mut dry = request(&house, TABLE);
    (dry.dry_run, dry.credentials) = (true, None);
    let report = house.provisioning.add_mailboxes(&house.root, dry, &Shop, |_, _| {}).await.unwrap();
    assert_eq!((report.added, report.rows.len(), state(&house).len()), (3, 3, 0));
}

#[tokio::test]
async fn adm_15_the_contract_and_the_role_hold_for_every_row() {
    let house = House::with_customer().await;
    house.sql("UPDATE customers SET mailboxes = 3").await;
    house.add("officer@pec.alfa.example").await;
    house.grant("officer@pec.alfa.example", Role::RegistrationOfficer, Some("c-1")).await.unwrap();
    house.add_domain("pec.beta.example", None).await;
    let officer = by("officer@pec.alfa.example");
    let table = "address\na@pec.alfa.example\nb@pec.alfa.example\nc@pec.alfa.example\nd@pec.beta.example\n";
    let report = run_by(&house, &officer, table).await;
    let failed: Vec<u64> =
        report.rows.iter().filter(|row| row.outcome == RowOutcome::Failed).map(|row| row.line).collect();
    assert_eq!(failed, [4, 5], "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    /// Interrupted after any commits, any number of times, the end is the same, and the file's passwords are the ones.
    #[test]
    fn adm_15_stopped_anywhere_it_goes_on(rows in 1usize..10, stops in proptest::collection::vec(0usize..3, 0..3)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::with_customer().await;
            let table: String = std::iter::once("address\n".to_owned())
                .chain((0..rows).map(|n| format!("user{n}@pec.alfa.example\n"))).collect();
            for after in stops {
                let mut one = request(&house, &table);
                one.at_once = 2;
                let stop = one.stop.clone();
                let mut commits = 0;
                stop.store(after == 0, Ordering::Relaxed);
                let report = house.provisioning.add_mailboxes(&house.root, one, &Shop, |_, _| {
                    commits += 1;
                    stop.store(commits >= after, Ordering::Relaxed);
                }).await.unwrap();
                assert!(report.added <= 2 * after);
                assert_eq!(report.added + report.unchanged + report.not_reached, rows);
            }
            let last = run(&house, &table).await;
            assert!(!last.stopped && last.added + last.unchanged == rows);
            let file = passwords(&house);
            assert_eq!(file.len(), rows);
            for (login, password) in &file {
                let user = house.provisioning.store().look(|reader| reader.user(login)).unwrap().unwrap();
                assert!(user.credential.parse::<Credential>().unwrap().verify(password));
            }
        });
    }
}
