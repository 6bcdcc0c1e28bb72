//! A lost password, replaced by a code in a text message (ADM-14).
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use sigillo_auth::Credential;
use sigillo_provisioning::Error;
use sigillo_provisioning::recovery::TextMessages;
use sigillo_store::standing::HoldOn;
use sigillo_store::{Millis, StoreError, Tx};
use support::{House, PASSWORD, refused};

const ADA: &str = "ada@pec.alfa.example";

/// What the operations hand to the outbox: number and text.
#[derive(Default)]
struct Handed(Mutex<Vec<(String, String)>>);

impl TextMessages for Handed {
    fn queue(&self, tx: &mut Tx<'_>, _: &str, to: &str, text: &str, until: Millis) -> Result<(), StoreError> {
        assert!(until > tx.now() && until <= tx.now() + 15 * 60_000, "an SMS with a code that is over helps nobody");
        self.0.lock().unwrap().push((to.to_owned(), text.to_owned()));
        Ok(())
    }
}

impl Handed {
    fn codes(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, text)| text.split(' ').next().unwrap().to_owned()).collect()
    }
}

async fn house() -> (House, Arc<Handed>) {
    let house = House::with_customer().await;
    house.add(ADA).await;
    house.provisioning.set_mobile(&house.root, ADA, Some("+39 320 1234567")).await.unwrap();
    (house, Arc::new(Handed::default()))
}

fn opens(house: &House, password: &str) -> bool {
    let user = house.provisioning.store().look(|reader| reader.user(ADA)).unwrap().unwrap();
    user.credential.parse::<Credential>().unwrap().verify(password)
}

#[tokio::test]
async fn adm_14_a_code_in_a_text_message_replaces_a_lost_password_once() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    assert_eq!(handed.codes().len(), 1, "the second came too soon after the first");
    assert_eq!(handed.0.lock().unwrap()[0].0, "+393201234567");
    let code = handed.codes().remove(0);
    assert!(own.redeem_recovery(&house.root, ADA, &code, "password").await.is_err(), "not to a common one");
    own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.unwrap();
    assert!(opens(&house, "parola del tutto nuova") && !opens(&house, PASSWORD));
    assert!(own.redeem_recovery(&house.root, ADA, &code, "parola ancora altra").await.is_err(), "it was good once");
    let text: String = house.trail().await.iter().map(|record| format!("{record:?}")).collect();
    assert!(!text.contains(&code) && !text.contains("3201234567") && text.contains("code sent"));
}

#[tokio::test]
async fn adm_14_a_code_is_not_guessed() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    let code = handed.codes().remove(0);
    let wrong = if code == "00000000" { "11111111" } else { "00000000" };
    for _ in 0..5 {
        assert!(own.redeem_recovery(&house.root, ADA, wrong, "parola del tutto nuova").await.is_err());
    }
    assert!(own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.is_err(), "five were enough");
    assert!(opens(&house, PASSWORD));
    house.sql("UPDATE recovery_codes SET asked = 0").await;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    let next = handed.codes().remove(1);
    house.sql("UPDATE recovery_codes SET expires = 1").await;
    assert!(
        own.redeem_recovery(&house.root, ADA, &next, "parola del tutto nuova").await.is_err(),
        "a quarter of an hour"
    );
}

#[tokio::test]
async fn adm_14_who_asks_learns_nothing_and_without_a_gateway_all_are_told_so() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    house.add("eva@pec.alfa.example").await;
    own.ask_recovery(&house.root, "nobody@pec.alfa.example", Some(handed.clone())).await.unwrap();
    own.ask_recovery(&house.root, "eva@pec.alfa.example", Some(handed.clone())).await.unwrap();
    own.suspend(&house.root, HoldOn::Mailbox, ADA, "stolen").await.unwrap();
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    assert!(handed.codes().is_empty());
    let said = own.ask_recovery(&house.root, ADA, None).await.unwrap_err();
    assert!(matches!(said, Error::Invalid { .. }) && said.to_string().contains("no gateway is configured"));
    assert!(own.set_mobile(&house.root, ADA, Some("320 1234567")).await.is_err());
    assert!(refused(own.set_mobile(&support::by("eva@pec.alfa.example"), ADA, None).await));
}

#[tokio::test]
async fn adm_14_strangers_fill_neither_a_telephone_nor_the_audit_trail() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    house.add("eva@pec.alfa.example").await;
    for _ in 0..20 {
        own.ask_recovery(&house.root, "eva@pec.alfa.example", Some(handed.clone())).await.unwrap();
        own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
        house.sql("UPDATE recovery_codes SET asked = asked - 300000 WHERE login LIKE 'ada%'").await;
    }
    assert_eq!(handed.codes().len(), 10, "in a day");
    let refused = |login: &str, trail: &[sigillo_store::evidence::Record]| {
        trail
            .iter()
            .filter(|r| {
                r.event.kind == "password-recovery" && r.event.result == "refused" && r.event.recipients == [login]
            })
            .count()
    };
    let trail = house.trail().await;
    assert_eq!(refused("eva@pec.alfa.example", &trail), 1, "who has no telephone is asked for in vain, and told once");
    assert_eq!(refused(ADA, &trail), 10);
    // The last code that went out is good in its time, whoever asked for more.
    let code = handed.codes().pop().unwrap();
    own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.unwrap();
    house.sql("UPDATE recovery_sent SET at = at - 86400000").await;
    house.sql("UPDATE recovery_codes SET asked = 0").await;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    assert_eq!(handed.codes().len(), 11, "a day later there are more");
}

#[tokio::test]
async fn adm_14_a_code_does_not_outlive_the_telephone_that_it_went_to() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    own.set_mobile(&house.root, ADA, Some("+39 320 7654321")).await.unwrap();
    let code = handed.codes().remove(0);
    assert!(own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.is_err());
    assert_eq!(own.mobile(&house.root, ADA).await.unwrap().as_deref(), Some("+393207654321"));
    assert!(refused(own.mobile(&support::by("eva@pec.alfa.example"), ADA).await));
}

#[tokio::test]
async fn adm_14_a_code_opens_nothing_of_a_mailbox_that_was_shut_since() {
    let (house, handed) = house().await;
    let own = &house.provisioning;
    own.ask_recovery(&house.root, ADA, Some(handed.clone())).await.unwrap();
    let code = handed.codes().remove(0);
    own.suspend(&house.root, HoldOn::Mailbox, ADA, "stolen").await.unwrap();
    assert!(own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.is_err());
    own.resume(&house.root, HoldOn::Mailbox, ADA).await.unwrap();
    own.redeem_recovery(&house.root, ADA, &code, "parola del tutto nuova").await.unwrap();
}
