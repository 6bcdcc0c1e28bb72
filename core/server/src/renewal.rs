//! Tells the holder of a contract that it was extended (ADM-21): a message in the mailbox that stands for him.
//!
//! The commit that extends the contract leaves a wake-up for each mailbox ([`sigillo_provisioning::renewal`]): commands
//! beside the server write no messages. The wake-up leaves in the commit that files the message, so that it comes once.

use sigillo_mail::Rope;
use sigillo_provisioning::renewal::{Renewal, last_day};
use sigillo_store::plugins::Timer;
use sigillo_store::{Millis, StoreError, Tx};

use crate::notice::Notice;

/// When a mailbox that has no room is looked at again: a day.
const AGAIN_MS: Millis = 24 * 3_600_000;

/// Files the message of a wake-up. Where there is no room it is tried again every day, as long as the contract runs.
pub fn tell(tx: &mut Tx<'_>, timer: &Timer, hostname: &str) -> Result<(), StoreError> {
    let Ok(renewal) = serde_json::from_slice::<Renewal>(&timer.payload) else {
        tracing::error!(key = timer.key, "a wake-up of the server cannot be read; it is dropped");
        return tx.finish_timer(timer);
    };
    let (account, now) = (renewal.mailbox.as_str(), tx.now());
    let customer =
        tx.reader().customer(&renewal.customer)?.filter(|customer| customer.expires == Some(renewal.expires));
    let filling = tx.reader().filling(account)?;
    // A contract that was extended again has a wake-up of its own; a customer or a mailbox that is gone is not told.
    let (Some(customer), Some((used, quota, _))) = (customer, filling) else { return tx.finish_timer(timer) };
    let content = message(&customer.name, &renewal, hostname, now)?;
    if used.saturating_add(content.len() as u64) > quota {
        tracing::warn!(mailbox = account, "no room to tell that the contract was extended; it is tried again tomorrow");
        return match now < renewal.expires {
            true => tx.postpone_timer(timer, now + AGAIN_MS),
            false => tx.finish_timer(timer),
        };
    }
    let Some(inbox) = tx.reader().folder(account, "INBOX")? else { return tx.finish_timer(timer) };
    tx.finish_timer(timer)?;
    let message = tx.put_message(&Rope::from_bytes(content))?;
    tx.file(account, inbox.id, message, &[], now).map(drop)
}

fn message(name: &str, renewal: &Renewal, hostname: &str, now: Millis) -> Result<Vec<u8>, StoreError> {
    let (id, last) = (&renewal.customer, last_day(renewal.expires));
    let (giorno, day) = (last.strftime("%d/%m/%Y"), last.strftime("%-d %B %Y"));
    let text = format!(
        "Il contratto di {name} (cliente {id}) è stato prorogato: il servizio è attivo fino al {giorno} compreso.\r\n\
         Nulla cambia per le caselle e per i messaggi che contengono.\r\n\r\n\
         The contract of {name} (customer {id}) has been extended: the service runs until {day}, that day included.\r\n\
         Nothing changes for the mailboxes and the messages in them.\r\n"
    );
    let subject = format!("Contratto prorogato fino al {giorno} / Contract until {day}");
    Notice { hostname, to: &renewal.mailbox, about: "renewal", subject, text }.message(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_provisioning::customers::NewCustomer;
    use sigillo_provisioning::{Actor, Provisioning, Settings};
    use sigillo_store::{DomainClass, Store};

    const ADA: &str = "ada@alfa.example";
    const DAY: Millis = 24 * 3_600_000;

    async fn house(quota: u64) -> (tempfile::TempDir, Provisioning, Actor, Millis) {
        let folder = tempfile::tempdir().unwrap();
        let own = Provisioning::new(Store::open(folder.path()).unwrap(), Settings::default());
        let root = Actor::system("root", 0, None);
        let expires = "2099-12-31T23:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond() as Millis;
        let customer = NewCustomer {
            id: "c-1".into(),
            name: "Società Alfa".into(),
            holder: format!("Ada Rossi <{ADA}>"),
            expires: Some(expires),
            ..NewCustomer::default()
        };
        own.add_customer(&root, customer).await.unwrap();
        let domain = "alfa.example".parse().unwrap();
        own.add_domain(&root, &domain, DomainClass::Ordinary, Some("c-1".into())).await.unwrap();
        own.store().write(move |tx| tx.add_account(&ADA.parse().unwrap(), "credential", quota)).await.unwrap();
        (folder, own, root, expires)
    }

    /// Runs every wake-up that is due at an instant, as the dispatcher does.
    async fn wake(store: &Store, now: Millis) {
        for timer in store.look(|r| r.due_timers(now, 9)).unwrap() {
            let job = move |tx: &mut Tx<'_>| {
                tx.set_now_for_test(now);
                tell(tx, &timer, "mx.alfa.example")
            };
            store.write(job).await.unwrap();
        }
    }

    fn letters(store: &Store) -> Vec<String> {
        let inbox = store.look(|r| r.folder(ADA, "INBOX")).unwrap().unwrap().id;
        let text = |item: &sigillo_store::Item| {
            let rope = store.look(|r| r.message(item.message)).unwrap();
            String::from_utf8(rope.to_bytes(store.segments().as_ref()).unwrap().to_vec()).unwrap()
        };
        store.look(|r| r.items(inbox)).unwrap().iter().map(text).collect()
    }

    #[tokio::test]
    async fn adm_21_the_holder_is_told_once_by_e_mail() {
        let (_folder, own, root, expires) = house(1 << 20).await;
        let renewed = own.renew_customer(&root, "c-1", expires + 366 * DAY).await.unwrap();
        assert_eq!(renewed.told, [ADA]);
        let now = sigillo_store::commit::now();
        wake(own.store(), now).await;
        wake(own.store(), now).await;
        let letters = letters(own.store());
        assert_eq!(letters.len(), 1);
        let words = letters[0].split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("Contract until 1 January 2101") && words.contains("Auto-Submitted: auto-generated"));
        assert!(own.store().look(|r| r.due_timers(now + DAY, 9)).unwrap().is_empty());
    }

    #[tokio::test]
    async fn adm_21_a_full_mailbox_is_told_when_it_has_room_and_of_the_last_extension_only() {
        let (_folder, own, root, expires) = house(10).await;
        own.renew_customer(&root, "c-1", expires + 365 * DAY).await.unwrap();
        let now = sigillo_store::commit::now();
        wake(own.store(), now).await;
        own.renew_customer(&root, "c-1", expires + 730 * DAY).await.unwrap();
        own.store().write(|tx| tx.set_quota(ADA, 1 << 20)).await.unwrap();
        wake(own.store(), now + 2 * DAY).await;
        wake(own.store(), now + 4 * DAY).await;
        let letters = letters(own.store());
        assert!(letters.len() == 1 && letters[0].contains("31/12/2101"), "{letters:?}");
    }
}
