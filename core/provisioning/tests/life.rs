//! First passwords (ADM-12, ADM-13), contracts (ADM-21, ADM-22), and the end of a service (ADM-23 to ADM-26, DOM-08).
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use sigillo_mail::Rope;
use sigillo_provisioning::Role;
use sigillo_provisioning::cessation::{Cessation, Ending, Guard};
use sigillo_provisioning::customers::NewCustomer;
use sigillo_provisioning::users::Password;
use sigillo_store::commit::now;
use sigillo_store::evidence::Stream;
use sigillo_store::standing::{HoldOn, Standing};
use sigillo_store::users::Barred;
use sigillo_store::{Millis, Store};
use support::{DOMAIN, House, PASSWORD, mailbox, new};

const ADA: &str = "ada@pec.alfa.example";
const DAY: Millis = 86_400_000;

fn ceasing(on: HoldOn, name: &str, ending: Ending, date: Option<Millis>) -> Cessation {
    Cessation { on, name: name.into(), ending, reason: "letter of 3 May".into(), date }
}

fn standing(house: &House, at: Millis) -> Standing {
    house.provisioning.store().look(|reader| reader.standing(ADA, at)).unwrap()
}

async fn file(store: &Store, address: &'static str, count: usize) {
    store
        .write(move |tx| {
            let message = tx.put_message(&Rope::from_bytes("Subject: x\r\n\r\nx\r\n"))?;
            let folder = tx.reader().folder(address, "INBOX")?.unwrap();
            (0..count).try_for_each(|_| tx.file(address, folder.id, message, &[], 0).map(drop))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn adm_12_a_first_password_opens_nothing_but_its_change() {
    let house = House::with_customer().await;
    let own = &house.provisioning;
    let made = own.add_mailbox(&house.root, new(ADA), Password::Made).await.unwrap();
    let (password, ends) = (made.password.unwrap(), made.expires.unwrap());
    let user = || own.store().look(|reader| reader.user(ADA)).unwrap().unwrap();
    assert_eq!(user().admitted(now()), Err(Barred::Initial));
    // ADM-13: three days.
    assert!(ends.abs_diff(now() + 3 * DAY) < 60_000);
    assert_eq!(user().admitted(ends), Err(Barred::Expired));
    for bad in [password.as_str(), "short", "password", ADA] {
        assert!(own.change_password(&house.root, ADA, &password, bad).await.is_err(), "{bad}");
    }
    assert!(own.change_password(&house.root, ADA, "guessed it", "my own words").await.is_err());
    own.change_password(&house.root, ADA, &password, "my own words").await.unwrap();
    assert_eq!(user().admitted(Millis::MAX), Ok(()));
    assert!(own.change_password(&house.root, ADA, &password, "other words").await.is_err(), "the first one is over");
}

#[tokio::test]
async fn adm_13_after_three_days_another_one_must_be_asked_for() {
    let house = House::with_customer().await;
    let own = &house.provisioning;
    let made = own.add_mailbox(&house.root, new(ADA), Password::Made).await.unwrap();
    house.sql("UPDATE users SET credential_expires = 1").await;
    let late = own.change_password(&house.root, ADA, &made.password.unwrap(), "my own words").await;
    assert!(late.unwrap_err().to_string().contains("its time is over"));
    let again = own.give_password(&house.root, ADA, Password::Made).await.unwrap();
    own.change_password(&house.root, ADA, &again.password.unwrap(), "my own words").await.unwrap();
}

#[tokio::test]
async fn as_06_who_is_suspended_receives_and_does_not_log_in() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    for (on, name) in [(HoldOn::Mailbox, ADA), (HoldOn::Domain, DOMAIN), (HoldOn::Customer, "c-1")] {
        own.suspend(&house.root, on, name, "ticket 4711").await.unwrap();
        assert_eq!(standing(&house, now()), Standing::Suspended { reason: "ticket 4711".into() });
        assert!(standing(&house, now()).receives() && !standing(&house, now()).admits_users());
        assert!(own.store().look(|reader| reader.user_at_the_door(ADA)).unwrap().is_none());
        own.resume(&house.root, on, name).await.unwrap();
        assert!(own.resume(&house.root, on, name).await.is_err());
        assert_eq!(standing(&house, now()), Standing::Active);
    }
    assert!(own.suspend(&house.root, HoldOn::Domain, "gamma.example", "x").await.is_err());
}

#[tokio::test]
async fn adm_21_a_contract_ends_and_is_extended() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let end = now() + DAY;
    house.provisioning.renew_customer(&house.root, "c-1", end).await.unwrap();
    assert_eq!(standing(&house, end - 1), Standing::Active);
    assert_eq!(standing(&house, end), Standing::Expired { since: end });
    assert!(!standing(&house, end).receives(), "a receipt would say what is not so");
    house.provisioning.renew_customer(&house.root, "c-1", end + DAY).await.unwrap();
    assert_eq!(standing(&house, end), Standing::Active);
    assert!(house.provisioning.renew_customer(&house.root, "c-1", end).await.is_err(), "no later than now");
}

#[tokio::test]
async fn adm_22_a_contract_extends_itself_until_it_is_cancelled() {
    let house = House::empty();
    let own = &house.provisioning;
    let end = now() - 400 * DAY;
    let customer = |id: &str, renews| NewCustomer {
        id: id.into(),
        begins: Some(end - DAY),
        expires: Some(end),
        renews,
        ..NewCustomer::default()
    };
    own.add_customer(&house.root, customer("yearly", 12)).await.unwrap();
    own.add_customer(&house.root, customer("cancelled", 12)).await.unwrap();
    own.add_customer(&house.root, customer("once", 0)).await.unwrap();
    own.cease(&house.root, ceasing(HoldOn::Customer, "cancelled", Ending::Termination, None)).await.unwrap();
    assert_eq!(own.renew_due(now()).await.unwrap().0, ["yearly"]);
    let expires = own.customer(&house.root, "yearly").await.unwrap().customer.expires.unwrap();
    assert!(expires > now() && expires < now() + 366 * DAY, "two years after the first end");
    assert!(own.renew_due(now()).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn adm_22_a_contract_that_extends_itself_has_no_hour_without_service() {
    let house = House::empty();
    let own = &house.provisioning;
    let end = now() + DAY;
    let yearly = NewCustomer { id: "c-1".into(), expires: Some(end), renews: 12, ..NewCustomer::default() };
    own.add_customer(&house.root, yearly).await.unwrap();
    house.add_domain(DOMAIN, Some("c-1")).await;
    house.add(ADA).await;
    assert_eq!(standing(&house, end + 1), Standing::Active, "though nobody has written the extension down yet");
    let late = ceasing(HoldOn::Customer, "c-1", Ending::Termination, Some(end + 5 * DAY));
    own.cease(&house.root, late).await.unwrap();
    assert!(own.renew_due(end + 1).await.unwrap().0.is_empty(), "it was cancelled");
    assert_eq!(standing(&house, end + 1), Standing::Active, "until the day that was named");
    assert_eq!(standing(&house, end + 5 * DAY), Standing::Closed { deletes: end + 35 * DAY });
    own.cease(&house.root, ceasing(HoldOn::Customer, "c-1", Ending::Termination, None)).await.unwrap();
    assert_eq!(standing(&house, end), Standing::Closed { deletes: end + 30 * DAY }, "without one, at its end");
}

#[tokio::test]
async fn adm_22_one_contract_that_cannot_be_extended_keeps_no_other_from_it() {
    let house = House::empty();
    let own = &house.provisioning;
    let end = now() - DAY;
    for id in ["a", "b"] {
        let begins = Some(end - DAY);
        let new = NewCustomer { id: id.into(), begins, expires: Some(end), renews: 12, ..NewCustomer::default() };
        own.add_customer(&house.root, new).await.unwrap();
    }
    let broken = "CREATE TRIGGER broken BEFORE UPDATE ON customers WHEN NEW.id = 'a'
         BEGIN SELECT RAISE(ABORT, 'this row cannot be written'); END";
    house.sql(broken).await;
    let (renewed, failed) = own.renew_due(now()).await.unwrap();
    assert_eq!(renewed, ["b"]);
    assert_eq!(failed.len(), 1);
}

/// ADM-21: the mailbox that is named with the holder, else those of the officers, else the only one.
#[tokio::test]
async fn adm_21_who_is_told_of_an_extension() {
    let house = House::with_customer().await;
    let (own, root) = (&house.provisioning, &house.root);
    let mut end = now();
    let mut told = async || {
        end += DAY;
        own.renew_customer(root, "c-1", end).await.unwrap().told
    };
    assert!(told().await.is_empty(), "there is no mailbox");
    house.add(ADA).await;
    assert_eq!(told().await, [ADA]);
    house.add("officer@pec.alfa.example").await;
    assert!(told().await.is_empty(), "it is not known which of two");
    house.grant("officer@pec.alfa.example", Role::RegistrationOfficer, Some("c-1")).await.unwrap();
    assert_eq!(told().await, ["officer@pec.alfa.example"]);
    house.sql("UPDATE customers SET holder = 'Ada Rossi <ADA@pec.alfa.example>'").await;
    assert_eq!(told().await, [ADA]);
    house.sql("UPDATE customers SET holder = 'Ada Rossi <ada@elsewhere.example>'").await;
    assert_eq!(told().await, ["officer@pec.alfa.example"]);
    let timers = own.store().look(|reader| reader.due_timers(now() + DAY, 9)).unwrap();
    let told: Vec<&str> = timers.iter().map(|timer| timer.key.as_str()).collect();
    assert_eq!(told.len(), 2, "one message each, of the last extension: {told:?}");
    assert!(timers.iter().all(|timer| timer.plugin == sigillo_store::SERVER));
    assert!(house.trail().await.iter().any(|r| r.event.details.contains(&("told".to_owned(), ADA.to_owned()))));
}

#[tokio::test]
async fn adm_25_data_is_deleted_from_the_thirtieth_day_on() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    file(own.store(), ADA, 501).await;
    let end = now();
    let hold = own.cease(&house.root, ceasing(HoldOn::Customer, "c-1", Ending::Termination, Some(end))).await.unwrap();
    assert_eq!((hold.closes, hold.deletes), (end, Some(end + 30 * DAY)));
    assert_eq!(standing(&house, end), Standing::Closed { deletes: end + 30 * DAY });
    let early = own.delete_due(&house.root, end + 30 * DAY - 1, false, None).await.unwrap();
    assert!(early.mailboxes.is_empty() && early.customers.is_empty());
    let dry = own.delete_due(&house.root, end + 30 * DAY, true, None).await.unwrap();
    assert_eq!((dry.mailboxes.as_slice(), dry.customers.len()), (&[(ADA.to_owned(), 501)][..], 1));
    assert!(own.store().look(|reader| reader.account(ADA)).unwrap().is_some(), "only looked at");
    let done = own.delete_due(&house.root, end + 30 * DAY, false, None).await.unwrap();
    assert_eq!((done.mailboxes, done.domains, done.customers), (dry.mailboxes, dry.domains, dry.customers));
    // ADM-24, DOM-08: mailboxes, users, customer and domain are gone; the trail has it.
    let store = own.store();
    assert!(store.look(|reader| reader.account(ADA)).unwrap().is_none());
    assert!(store.look(|reader| reader.user(ADA)).unwrap().is_none());
    assert!(store.look(|reader| reader.domain(DOMAIN)).unwrap().is_none());
    assert!(store.look(|reader| reader.customer("c-1")).unwrap().is_none());
    let trail = house.trail().await;
    let deleted: Vec<&str> =
        trail.iter().filter(|record| record.event.kind == "deletion").map(|r| r.event.recipients[0].as_str()).collect();
    assert_eq!(deleted, [ADA, DOMAIN, "c-1"]);
    let chain = store.read(|reader| reader.verify_chain(Stream::Audit, |_| {})).await.unwrap();
    assert!(chain.findings.is_empty(), "the trail outlives whom it is about");
    assert_eq!(own.delete_due(&house.root, end + 31 * DAY, false, None).await.unwrap().mailboxes, []);
}

#[tokio::test]
async fn adm_26_a_withdrawal_needs_thirty_days_of_notice() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    let soon = own.cease(&house.root, ceasing(HoldOn::Mailbox, ADA, Ending::Withdrawal, Some(now() + 20 * DAY))).await;
    assert!(soon.unwrap_err().to_string().contains("30 days of notice"));
    let date = now() + 45 * DAY;
    let hold = own.cease(&house.root, ceasing(HoldOn::Mailbox, ADA, Ending::Withdrawal, Some(date))).await.unwrap();
    assert_eq!((hold.closes, hold.deletes), (date, Some(date)));
    assert_eq!(standing(&house, date - 1), Standing::Active, "the service goes on until then");
    own.undo_cessation(&house.root, HoldOn::Mailbox, ADA).await.unwrap();
    assert_eq!(standing(&house, date), Standing::Active);
}

#[tokio::test]
async fn con_08_what_is_not_preserved_yet_stays_and_the_rest_goes() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    house.add("eva@pec.alfa.example").await;
    let own = &house.provisioning;
    own.cease(&house.root, ceasing(HoldOn::Customer, "c-1", Ending::Termination, None)).await.unwrap();
    let guard: Guard = Arc::new(|_, address| Ok((address == ADA).then(|| "copies wait".to_owned())));
    let then = now() + 31 * DAY;
    let report = own.delete_due(&house.root, then, false, Some(guard)).await.unwrap();
    assert_eq!(report.kept, [(ADA.to_owned(), "copies wait".to_owned())]);
    assert_eq!(report.mailboxes, [("eva@pec.alfa.example".to_owned(), 0)]);
    assert!(report.domains.is_empty() && report.customers.is_empty(), "they have a mailbox still");
    let report = own.delete_due(&house.root, then, false, None).await.unwrap();
    assert_eq!((report.mailboxes.len(), report.domains.len(), report.customers.len()), (1, 1, 1));
}

#[tokio::test]
async fn an_address_is_not_given_to_somebody_else_by_mistake() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    own.cease(&house.root, ceasing(HoldOn::Mailbox, ADA, Ending::Termination, None)).await.unwrap();
    own.delete_due(&house.root, now() + 31 * DAY, false, None).await.unwrap();
    let again = own.add_mailbox(&house.root, new(ADA), Password::Final(PASSWORD.into())).await;
    assert!(again.err().unwrap().to_string().contains("somebody had this address"));
    let mut same = new(ADA);
    same.reuse = true;
    own.add_mailbox(&house.root, same, Password::Final(PASSWORD.into())).await.unwrap();
    assert_eq!(own.mailbox(&house.root, &mailbox(ADA)).await.unwrap().standing, Standing::Active);
}

/// The wrong year in an end of service can be taken back before anything is lost.
#[tokio::test]
async fn nothing_is_deleted_within_a_day_of_its_announcement() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    let said = now();
    let long_ago = ceasing(HoldOn::Mailbox, ADA, Ending::Termination, Some(said - 365 * DAY));
    let hold = own.cease(&house.root, long_ago).await.unwrap();
    assert!(hold.deletes.unwrap() >= said + DAY);
    assert!(own.delete_due(&house.root, said + DAY - 1, false, None).await.unwrap().mailboxes.is_empty());
    own.undo_cessation(&house.root, HoldOn::Mailbox, ADA).await.unwrap();
    assert!(own.delete_due(&house.root, said + 2 * DAY, false, None).await.unwrap().mailboxes.is_empty());
}

/// A mailbox whose deletion was cut off after any commit is deleted by the next round.
#[tokio::test]
async fn a_deletion_that_was_interrupted_goes_on() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    file(own.store(), ADA, 450).await;
    own.cease(&house.root, ceasing(HoldOn::Mailbox, ADA, Ending::Termination, None)).await.unwrap();
    own.store().write(|tx| tx.empty_account(ADA, 200)).await.unwrap();
    let left = own.store().look(|reader| reader.account(ADA)).unwrap().unwrap();
    assert_eq!(left.used, 250 * 17, "as far as it came");
    let report = own.delete_due(&house.root, now() + 31 * DAY, false, None).await.unwrap();
    assert_eq!(report.mailboxes, [(ADA.to_owned(), 250)]);
    let unnamed = own.store().look(|reader| reader.account(ADA)).unwrap();
    assert!(unnamed.is_none());
}

/// What is taken back while others are being deleted is taken back.
#[tokio::test]
async fn a_cessation_that_is_undone_in_the_middle_of_a_round_deletes_no_more() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    house.add("eva@pec.alfa.example").await;
    let own = house.provisioning.clone();
    file(own.store(), "eva@pec.alfa.example", 3).await;
    own.cease(&house.root, ceasing(HoldOn::Customer, "c-1", Ending::Termination, None)).await.unwrap();
    let (undo, root, runtime) = (own.clone(), house.root.clone(), tokio::runtime::Handle::current());
    let guard: Guard = Arc::new(move |_, address| {
        if address.starts_with("eva") {
            runtime.block_on(undo.undo_cessation(&root, HoldOn::Customer, "c-1")).unwrap();
        }
        Ok(None)
    });
    let report = own.delete_due(&house.root, now() + 31 * DAY, false, Some(guard)).await.unwrap();
    assert_eq!(report.mailboxes, [(ADA.to_owned(), 0)]);
    assert!(report.domains.is_empty() && report.customers.is_empty() && report.failed.is_empty());
    let eva = own.store().look(|reader| reader.account("eva@pec.alfa.example")).unwrap().unwrap();
    assert_eq!(eva.used, 3 * 17);
}

#[tokio::test]
async fn what_cannot_be_deleted_keeps_nothing_else_from_it() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    house.add("eva@pec.alfa.example").await;
    let own = &house.provisioning;
    for address in [ADA, "eva@pec.alfa.example"] {
        own.cease(&house.root, ceasing(HoldOn::Mailbox, address, Ending::Termination, None)).await.unwrap();
    }
    let guard: Guard = Arc::new(|_, address| match address == ADA {
        true => Err(sigillo_store::StoreError::Damaged("its settings".into())),
        false => Ok(None),
    });
    let report = own.delete_due(&house.root, now() + 31 * DAY, false, Some(guard)).await.unwrap();
    assert_eq!(report.mailboxes, [("eva@pec.alfa.example".to_owned(), 0)]);
    assert!(report.failed.len() == 1 && report.failed[0].0 == ADA && report.failed[0].1.contains("its settings"));
}
