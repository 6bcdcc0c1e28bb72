//! Who may administer what (ADM-01 to ADM-06), and that all of it is in the trail (ORG-03, LOG-23).
#![allow(clippy::unwrap_used)]

mod support;

use sigillo_provisioning::permissions::{TABLE, permitted, roles};
use sigillo_provisioning::users::Password;
use sigillo_provisioning::{Actor, Error, Operation, Role, Subject};
use sigillo_store::AccountState;
use sigillo_store::standing::HoldOn;
use support::{DOMAIN, House, PASSWORD, by, domain, mailbox, new, refused};

const OFFICER: &str = "officer@pec.alfa.example";
const ADA: &str = "ada@pec.alfa.example";
const FOREIGN: &str = "eva@pec.beta.example";

async fn house() -> House {
    let house = House::with_customer().await;
    house.add_domain("pec.beta.example", None).await;
    for address in [OFFICER, ADA, FOREIGN] {
        house.add(address).await;
    }
    house.grant(OFFICER, Role::RegistrationOfficer, Some("c-1")).await.unwrap();
    house
}

#[tokio::test]
async fn adm_01_an_officer_administers_the_mailboxes_of_his_customer_and_no_others() {
    let house = house().await;
    let (own, officer) = (&house.provisioning, by(OFFICER));
    own.add_mailbox(&officer, new("bruno@pec.alfa.example"), Password::Made).await.unwrap();
    own.set_mailbox_state(&officer, &mailbox(ADA), AccountState::Disabled).await.unwrap();
    own.set_mailbox_state(&officer, &mailbox(ADA), AccountState::Active).await.unwrap();
    own.give_password(&officer, ADA, Password::Made).await.unwrap();
    own.set_setting(&officer, false, &mailbox(ADA), "forwarding", Some("allowed")).await.unwrap();
    own.suspend(&officer, HoldOn::Mailbox, ADA, "stolen").await.unwrap();
    own.resume(&officer, HoldOn::Mailbox, ADA).await.unwrap();
    let seen: Vec<String> = own.mailboxes(&officer).await.unwrap().into_iter().map(|m| m.account.address).collect();
    assert_eq!(seen, [ADA, "bruno@pec.alfa.example", OFFICER]);
    assert_eq!(own.domains(&officer).await.unwrap().len(), 1);
    // Neither another customer's nor what the contract says.
    assert!(refused(own.add_mailbox(&officer, new("x@pec.beta.example"), Password::Made).await));
    assert!(refused(own.give_password(&officer, FOREIGN, Password::Made).await));
    assert!(refused(own.give_password(&officer, "nobody@pec.beta.example", Password::Made).await));
    assert!(refused(own.set_quota(&officer, &mailbox(ADA), 1 << 30).await));
    assert!(refused(own.suspend(&officer, HoldOn::Domain, DOMAIN, "x").await));
    assert!(refused(own.mailbox(&officer, &mailbox(FOREIGN)).await));
    assert!(refused(own.domain(&officer, &domain("pec.beta.example")).await));
    assert!(refused(house.grant_by(&officer, ADA, Role::RegistrationOfficer, Some("c-1")).await));
}

#[tokio::test]
async fn adm_05_a_customer_with_one_mailbox_is_administered_by_the_provider() {
    let house = house().await;
    let single = sigillo_provisioning::customers::NewCustomer {
        id: "c-2".into(),
        name: "Ada".into(),
        mailboxes: 1,
        ..Default::default()
    };
    house.provisioning.add_customer(&house.root, single).await.unwrap();
    let said = house.grant(ADA, Role::RegistrationOfficer, Some("c-2")).await.unwrap_err().to_string();
    assert!(said.contains("ADM-05"), "{said}");
    house.add_domain("ada.example", Some("c-2")).await;
    house.add("ada@ada.example").await;
    let more = house.provisioning.add_mailbox(&house.root, new("eva@ada.example"), Password::Made).await;
    assert!(matches!(more, Err(Error::Invalid { .. })), "ADM-16: the contract is for one");
}

#[tokio::test]
async fn adm_06_three_levels_and_each_may_name_only_below_itself() {
    let house = house().await;
    let manager = by(ADA);
    house.grant(ADA, Role::RoleManager, None).await.unwrap();
    house.grant_by(&manager, FOREIGN, Role::RegistrationOfficer, Some("c-1")).await.unwrap();
    assert!(refused(house.grant_by(&manager, FOREIGN, Role::RoleManager, None).await));
    assert!(refused(house.grant_by(&manager, ADA, Role::PlatformAdministrator, None).await));
    assert!(refused(house.provisioning.add_mailbox(&manager, new("x@pec.alfa.example"), Password::Made).await));
    house.grant(FOREIGN, Role::PlatformAdministrator, None).await.unwrap();
    house.grant_by(&by(FOREIGN), OFFICER, Role::RoleManager, None).await.unwrap();
    assert!(house.provisioning.set_quota(&by(FOREIGN), &mailbox(ADA), 1 << 30).await.is_ok());
    let request = sigillo_provisioning::roles::RoleRequest {
        login: FOREIGN.into(),
        role: Role::PlatformAdministrator,
        customer: None,
    };
    house.provisioning.revoke_role(&house.root, request).await.unwrap();
    assert!(refused(house.provisioning.set_quota(&by(FOREIGN), &mailbox(ADA), 1 << 31).await));
    // A role is of somebody, at something.
    for (login, role, customer) in [
        ("nobody@pec.alfa.example", Role::RoleManager, None),
        (ADA, Role::RegistrationOfficer, None),
        (ADA, Role::RegistrationOfficer, Some("c-9")),
        (ADA, Role::RoleManager, Some("c-1")),
        (ADA, Role::Holder, None),
    ] {
        assert!(house.grant(login, role, customer).await.is_err(), "{login} {role:?}");
    }
}

/// Whoever may give a password has the rights of its owner.
#[tokio::test]
async fn adm_06_an_officer_gets_nobody_elses_rights_by_a_password_or_a_telephone() {
    let house = house().await;
    let (own, officer) = (&house.provisioning, by(OFFICER));
    house.add("bruno@pec.alfa.example").await;
    house.provisioning.add_customer(&house.root, other("c-3")).await.unwrap();
    for (role, customer) in
        [(Role::PlatformAdministrator, None), (Role::RoleManager, None), (Role::RegistrationOfficer, Some("c-3"))]
    {
        house.grant(ADA, role, customer).await.unwrap();
        assert!(refused(own.give_password(&officer, ADA, Password::Made).await), "{role:?}");
        assert!(refused(own.set_mobile(&officer, ADA, Some("+39 320 1234567")).await), "{role:?}");
        let customer = customer.map(str::to_owned);
        let request = sigillo_provisioning::roles::RoleRequest { login: ADA.into(), role, customer };
        own.revoke_role(&house.root, request).await.unwrap();
    }
    // A colleague has what he has.
    house.grant("bruno@pec.alfa.example", Role::RegistrationOfficer, Some("c-1")).await.unwrap();
    own.give_password(&officer, "bruno@pec.alfa.example", Password::Made).await.unwrap();
    own.set_mobile(&officer, ADA, Some("+39 320 1234567")).await.unwrap();
}

fn other(id: &str) -> sigillo_provisioning::customers::NewCustomer {
    sigillo_provisioning::customers::NewCustomer { id: id.into(), name: id.into(), ..Default::default() }
}

#[tokio::test]
async fn adm_03_a_holder_has_his_own_and_whoever_is_shut_out_has_nothing() {
    let house = house().await;
    let (own, ada) = (&house.provisioning, by(ADA));
    assert!(own.mailbox(&ada, &mailbox(ADA)).await.is_ok());
    assert!(own.set_setting(&ada, true, &mailbox(ADA), "forward-to", Some("x@y.example")).await.is_ok());
    assert!(refused(own.set_setting(&ada, false, &mailbox(ADA), "forwarding", Some("allowed")).await));
    assert!(refused(own.mailbox(&ada, &mailbox(OFFICER)).await));
    assert!(refused(own.change_password(&ada, OFFICER, PASSWORD, "another word").await));
    assert!(own.change_password(&ada, ADA, PASSWORD, "another word").await.is_ok());
    // A suspended officer is none; so is one who has not changed his first password.
    own.suspend(&house.root, HoldOn::Mailbox, OFFICER, "stolen").await.unwrap();
    assert!(refused(own.set_mailbox_state(&by(OFFICER), &mailbox(ADA), AccountState::Active).await));
    own.resume(&house.root, HoldOn::Mailbox, OFFICER).await.unwrap();
    own.give_password(&house.root, OFFICER, Password::First("first word".into())).await.unwrap();
    let refusal =
        own.set_mailbox_state(&by(OFFICER), &mailbox(ADA), AccountState::Active).await.unwrap_err().to_string();
    assert!(refusal.contains("may not open or close") && refusal.contains("change-password"), "{refusal}");
    // Who sees nothing is told why, and not shown an empty list.
    assert!(refused(own.mailboxes(&by(OFFICER)).await) && refused(own.domains(&by(OFFICER)).await));
    let nobody = own.customers(&by("nobody")).await.unwrap_err().to_string();
    assert_eq!(nobody, "nobody may not see customers: there is no such login");
    own.change_password(&by(OFFICER), OFFICER, "first word", "second word").await.unwrap();
    assert!(own.set_mailbox_state(&by(OFFICER), &mailbox(ADA), AccountState::Active).await.is_ok());
}

/// Whoever has no role may do nothing at all, whatever the operation and whatever it is about.
#[tokio::test]
async fn nobody_may_anything_without_a_row_of_the_table() {
    let house = house().await;
    let subjects = [
        Subject::Platform,
        Subject::Customer("c-1".into()),
        Subject::Domain(DOMAIN.into()),
        Subject::Mailbox(ADA.into()),
        Subject::User { login: ADA.into(), account: ADA.into() },
    ];
    let store = house.provisioning.store();
    for actor in [by("unknown@pec.alfa.example"), by(FOREIGN), by(""), by("c-1")] {
        for (operation, _) in TABLE {
            for subject in &subjects {
                let may = store.look(|reader| permitted(reader, &actor, *operation, subject)).unwrap();
                assert!(may.is_err(), "{} {operation:?} {subject:?}", actor.name);
            }
        }
    }
    let officer = store.look(|reader| roles(reader, &by(OFFICER), &Subject::Mailbox(ADA.into()))).unwrap();
    assert_eq!(officer, [Role::RegistrationOfficer]);
}

/// ORG-03, LOG-23: what was done and what was refused, by whom and as what; never a secret.
#[tokio::test]
async fn log_23_the_trail_has_every_change_and_every_refusal() {
    let house = house().await;
    let own = &house.provisioning;
    let begin = house.trail().await.len();
    let made = own.add_mailbox(&by(OFFICER), new("bruno@pec.alfa.example"), Password::Made).await.unwrap();
    assert!(refused(own.set_quota(&by(OFFICER), &mailbox(ADA), 5).await));
    own.change_password(&house.root, ADA, "wrong one!", "secret number one").await.unwrap_err();
    own.change_password(&house.root, ADA, PASSWORD, "secret number one").await.unwrap();
    own.set_setting(&house.root, false, &mailbox(ADA), "forwarding", Some("allowed")).await.unwrap();
    let trail = house.trail().await.split_off(begin);
    let told: Vec<(&str, &str, &str, &str)> = trail
        .iter()
        .map(|record| {
            let event = &record.event;
            (event.kind.as_str(), event.sender.as_str(), event.recipients[0].as_str(), event.result.as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("mailbox-add", OFFICER, "bruno@pec.alfa.example", "done"),
            ("mailbox-quota", OFFICER, ADA, "refused"),
            ("password-change", "root", ADA, "refused"),
            ("password-change", "root", ADA, "done"),
            ("mailbox-set", "root", ADA, "done"),
        ]
    );
    let text = serde_json_text(&trail);
    let secret = made.password.unwrap();
    for word in [secret.as_str(), "secret number one", "wrong one", PASSWORD, "argon2", "SCRAM"] {
        assert!(!text.contains(word), "{word} is in the trail");
    }
    assert!(text.contains("registration-officer") && text.contains("on-behalf") && text.contains("\"uid\""));
}

fn serde_json_text(trail: &[sigillo_store::evidence::Record]) -> String {
    trail.iter().map(|record| format!("{record:?}\n")).collect()
}

/// What fails leaves neither a change nor a record that it was done.
#[tokio::test]
async fn a_change_and_its_record_are_one_commit() {
    let house = house().await;
    let begin = house.trail().await.len();
    let again = house.provisioning.add_mailbox(&house.root, new(ADA), Password::Final(PASSWORD.into())).await;
    assert!(again.is_err());
    let (root, gamma) = (Actor::system("root", 0, None), domain("gamma.example"));
    let class = sigillo_store::DomainClass::Ordinary;
    let nowhere = house.provisioning.add_domain(&root, &gamma, class, Some("c-9".into())).await;
    assert!(matches!(nowhere, Err(Error::NotFound { .. })));
    assert_eq!(house.trail().await.len(), begin);
    let names: Vec<String> =
        house.provisioning.domains(&house.root).await.unwrap().into_iter().map(|domain| domain.name).collect();
    assert_eq!(names, [DOMAIN, "pec.beta.example"], "the domain was not added either");
    assert_eq!(Operation::MailboxAdd.word(), "mailbox-add");
}
