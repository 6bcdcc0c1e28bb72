//! Tells the holder of a mailbox that it fills, before it is full: a message in the mailbox itself, once for each mark that
//! is passed on the way up.

use sigillo_mail::Rope;
use sigillo_store::{FolderId, StoreError, Tx};

use crate::notice::Notice;

/// At which fillings, and in whose name.
#[derive(Debug, Clone)]
pub struct Warnings {
    /// Percentages, ascending.
    pub marks: Vec<u8>,
    /// What the server calls itself.
    pub hostname: String,
}

impl Warnings {
    /// After something was filed in `inbox` or elsewhere in the mailbox. A warning that has no room is left out.
    pub fn tell(&self, tx: &mut Tx<'_>, account: &str, inbox: FolderId) -> Result<(), StoreError> {
        let Some((used, quota, told)) = tx.reader().filling(account)? else { return Ok(()) };
        let percent = used.saturating_mul(100) / quota.max(1);
        let mark = self.marks.iter().copied().filter(|mark| u64::from(*mark) <= percent).max().unwrap_or(0);
        if mark == told {
            return Ok(());
        }
        tx.set_warned(account, mark)?;
        if mark < told {
            return Ok(()); // room was made: the next time it fills is told anew
        }
        let content = self.message(account, mark, used, quota, tx.now())?;
        if used.saturating_add(content.len() as u64) > quota {
            return Ok(());
        }
        let message = tx.put_message(&Rope::from_bytes(content))?;
        let now = tx.now();
        tx.file(account, inbox, message, &[], now).map(drop)
    }

    fn message(&self, account: &str, mark: u8, used: u64, quota: u64, now: u64) -> Result<Vec<u8>, StoreError> {
        let megabytes = |octets: u64| octets.div_ceil(1024 * 1024);
        let (used, quota) = (megabytes(used), megabytes(quota));
        // «l'80%», «il 95%»: 8, 11 and 80 to 89 begin with a vowel.
        let article = if matches!(mark, 8 | 11 | 80..=89) { "l'" } else { "il " };
        let text = format!(
            "La casella {account} occupa {used} MB dei {quota} MB a disposizione (oltre {article}{mark}%).\r\n\
             Quando lo spazio finisce, i messaggi in arrivo non vengono consegnati e i mittenti ricevono un avviso.\r\n\
             Cancellare i messaggi che non servono o chiedere più spazio all'amministratore.\r\n\r\n\
             The mailbox {account} holds {used} MB of {quota} MB (more than {mark}%).\r\n\
             When there is no room left, mail is not delivered and its senders are told so.\r\n\
             Remove messages that are not needed, or ask your administrator for more room.\r\n"
        );
        let subject = format!("Casella occupata oltre {article}{mark}% / Mailbox more than {mark}% full");
        Notice { hostname: &self.hostname, to: account, about: "quota", subject, text }.message(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_store::{DomainClass, Store};

    const ADA: &str = "ada@alfa.example";

    /// Files so many octets and tells; the subjects in the mailbox afterwards.
    async fn fill(store: &Store, octets: usize) -> Vec<String> {
        let job = move |tx: &mut Tx<'_>| {
            let inbox = tx.reader().folder(ADA, "INBOX")?.unwrap().id;
            let mut content = b"Subject: mail\r\n\r\n".to_vec();
            content.resize(octets, b'x');
            let message = tx.put_message(&Rope::from_bytes(content))?;
            tx.file(ADA, inbox, message, &[], 0)?;
            Warnings { marks: vec![80, 95], hostname: "mx.alfa.example".into() }.tell(tx, ADA, inbox)
        };
        store.write(job).await.unwrap();
        subjects(store)
    }

    fn subjects(store: &Store) -> Vec<String> {
        let inbox = store.look(|r| r.folder(ADA, "INBOX")).unwrap().unwrap().id;
        let items = store.look(|r| r.items(inbox)).unwrap();
        let subject = |item: &sigillo_store::Item| {
            let rope = store.look(|r| r.message(item.message)).unwrap();
            let text = String::from_utf8(rope.to_bytes(store.segments().as_ref()).unwrap().to_vec()).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
        };
        items.iter().map(subject).filter(|subject| subject != "mail").collect()
    }

    #[test]
    fn the_article_is_that_of_the_number() {
        let warnings = Warnings { marks: vec![80, 95], hostname: "mx.alfa.example".into() };
        let text = |mark| {
            let message = warnings.message(ADA, mark, 96 << 20, 100 << 20, 0).unwrap();
            String::from_utf8(message).unwrap().replace("=\r\n", "") // soft line ends of quoted-printable
        };
        assert!(text(80).contains("(oltre l'80%)") && text(80).contains("occupata oltre l'80% /"), "{}", text(80));
        assert!(text(95).contains("(oltre il 95%)") && text(95).contains("occupata oltre il 95% /"), "{}", text(95));
    }

    #[tokio::test]
    async fn each_mark_is_told_once_on_the_way_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let setup = |tx: &mut Tx<'_>| {
            tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Certified)?;
            tx.add_account(&ADA.parse().unwrap(), "credential", 100_000)
        };
        store.write(setup).await.unwrap();
        assert!(fill(&store, 79_000).await.is_empty());
        let first = fill(&store, 2_000).await;
        assert!(first.len() == 1 && first[0].contains("80%"), "{first:?}");
        assert_eq!(fill(&store, 1_000).await.len(), 1, "told already");
        assert_eq!(fill(&store, 13_000).await.len(), 2);
        // Room is made, and filled again.
        let empty = |tx: &mut Tx<'_>| {
            let inbox = tx.reader().folder(ADA, "INBOX")?.unwrap().id;
            tx.expunge(ADA, inbox, &[1]).map(drop)
        };
        store.write(empty).await.unwrap();
        assert_eq!(fill(&store, 100).await.len(), 2);
        assert_eq!(fill(&store, 65_000).await.len(), 3, "told anew");
        // No room even for the warning: nothing fails.
        let used = store.look(|r| r.filling(ADA)).unwrap().unwrap().0;
        store.write(move |tx| tx.set_quota(ADA, used + 1_010)).await.unwrap();
        assert_eq!(fill(&store, 1_000).await.len(), 3);
    }
}
