//! Users of mailboxes and their passwords.

use sigillo_auth::Credential;
use sigillo_store::users::{NewUser, User};
use sigillo_store::{AccountState, Millis, Reader};

use crate::act::{Provisioning, detail, record};
use crate::actor::Actor;
use crate::error::Error;
use crate::passwords;
use crate::permissions::{Operation, Subject};

/// Hours in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// How a user comes to his password.
#[derive(Clone)]
pub enum Password {
    /// It is made here, good for a few days and for nothing but choosing another (ADM-12, ADM-13).
    Made,
    /// Somebody gives it; good for a few days and for nothing but choosing another.
    First(String),
    /// Somebody gives it, and it stays: for programs, and for whoever chose it himself.
    Final(String),
    /// It is made here and stays: for programs.
    MadeFinal,
}

/// A password that was made, to be told to its owner once.
pub struct Made {
    /// The password, if it was made here.
    pub password: Option<String>,
    /// Until when it can be changed for another; none if it stays.
    pub expires: Option<Millis>,
}

/// A password in the form in which it is kept.
pub(crate) struct Hashed {
    pub(crate) credential: String,
    pub(crate) first: bool,
    pub(crate) made: Option<String>,
}

pub(crate) fn existing(reader: &Reader<'_>, login: &str) -> Result<User, Error> {
    reader.user(login)?.ok_or_else(|| {
        Error::not_found(format!("user {login}"), "`sigillo user list ADDRESS` has the users of a mailbox")
    })
}

impl Provisioning {
    /// Checks and hashes a password for a login.
    pub(crate) async fn hashed(&self, password: Password, login: &str) -> Result<Hashed, Error> {
        let (text, first, made) = match password {
            Password::Made => (passwords::make(), true, true),
            Password::MadeFinal => (passwords::make(), false, true),
            Password::First(text) => (text, true, false),
            Password::Final(text) => (text, false, false),
        };
        passwords::check(&text, login, self.settings().password_min)?;
        let credential = passwords::hash(text.clone(), first).await?;
        Ok(Hashed { credential, first, made: made.then_some(text) })
    }

    /// When a first password that is given at `now` ends.
    pub(crate) fn first_ends(&self, now: Millis) -> Millis {
        now + self.settings().first_password_hours * HOUR_MS
    }

    /// The subject of an operation on a login: he and his mailbox.
    pub(crate) async fn user_subject(&self, login: &str) -> Result<Subject, Error> {
        let login = login.to_ascii_lowercase();
        let user = self.store().look(|reader| reader.user(&login))?;
        // Who may not see a user must not learn whether there is one: without a mailbox nobody but the administrator of
        // the platform may anything.
        let account = user.map(|user| user.account).unwrap_or_default();
        Ok(Subject::User { login, account })
    }

    /// Lets one more person into a multi-user mailbox (BOX-02, ADM-09).
    pub async fn add_user(&self, actor: &Actor, new: NewUser, password: Password) -> Result<Made, Error> {
        let subject =
            Subject::User { login: new.login.to_ascii_lowercase(), account: new.account.to_ascii_lowercase() };
        self.may(actor, Operation::UserAdd, subject.clone()).await?;
        let hashed = self.hashed(password, &new.login).await?;
        let own = self.clone();
        self.act(actor, Operation::UserAdd, subject, move |tx| {
            let expires = hashed.first.then(|| own.first_ends(tx.now()));
            let new = NewUser { credential: hashed.credential, initial: hashed.first, expires, ..new };
            tx.add_user(&new)?;
            let details = vec![detail("mailbox", &new.account), detail("kind", new.role.as_str())];
            Ok((Made { password: hashed.made, expires }, details))
        })
        .await
    }

    /// The users of a mailbox.
    pub async fn users(&self, actor: &Actor, account: &str) -> Result<Vec<User>, Error> {
        let account = account.to_ascii_lowercase();
        let subject = Subject::Mailbox(account.clone());
        let found = self
            .look(actor, Operation::UserShow, subject, {
                let account = account.clone();
                move |reader| Ok((reader.account(&account)?.is_some(), reader.users_of(&account)?))
            })
            .await?;
        match found {
            (true, users) => Ok(users),
            (false, _) => {
                Err(Error::not_found(format!("mailbox {account}"), "`sigillo mailbox list` has those that there are"))
            }
        }
    }

    /// Gives a user a password that somebody else knows: lost ones are replaced so (ADM-13).
    pub async fn give_password(&self, actor: &Actor, login: &str, password: Password) -> Result<Made, Error> {
        let subject = self.user_subject(login).await?;
        self.may(actor, Operation::UserPassword, subject.clone()).await?;
        let hashed = self.hashed(password, login).await?;
        let (own, login) = (self.clone(), login.to_ascii_lowercase());
        self.act(actor, Operation::UserPassword, subject, move |tx| {
            existing(&tx.reader(), &login)?;
            let expires = hashed.first.then(|| own.first_ends(tx.now()));
            tx.set_user_credential(&login, &hashed.credential, hashed.first, expires)?;
            Ok((Made { password: hashed.made, expires }, vec![detail("must-change", hashed.first)]))
        })
        .await
    }

    /// Lets a user log in, or not.
    pub async fn set_user_state(&self, actor: &Actor, login: &str, state: AccountState) -> Result<(), Error> {
        let subject = self.user_subject(login).await?;
        let login = login.to_ascii_lowercase();
        self.act(actor, Operation::UserState, subject, move |tx| {
            existing(&tx.reader(), &login)?;
            tx.set_user_state(&login, state)?;
            Ok(((), vec![detail("state", state.as_str())]))
        })
        .await
    }

    /// Takes an operator and his roles away.
    pub async fn remove_user(&self, actor: &Actor, login: &str) -> Result<(), Error> {
        let subject = self.user_subject(login).await?;
        let login = login.to_ascii_lowercase();
        self.act(actor, Operation::UserRemove, subject, move |tx| {
            let user = existing(&tx.reader(), &login)?;
            tx.remove_user(&login)?;
            for grant in tx.reader().roles_of(&login)? {
                tx.revoke_role(&login, &grant.role, &grant.customer)?;
            }
            Ok(((), vec![detail("mailbox", user.account)]))
        })
        .await
    }

    /// Changes the own password: whoever knows the old one is its owner, whoever typed it (ADM-12). A first password is
    /// over with it.
    pub async fn change_password(&self, actor: &Actor, login: &str, old: &str, new: &str) -> Result<(), Error> {
        let wrong = || Error::invalid("login or password", "they do not belong together", "try again");
        let subject = self.user_subject(login).await?;
        self.may(actor, Operation::OwnPassword, subject.clone()).await?;
        let login = login.to_ascii_lowercase();
        let user = self.store().look(|reader| reader.user(&login))?;
        let now = sigillo_store::commit::now();
        let known = user.as_ref().and_then(|user| user.credential.parse::<Credential>().ok());
        let (given, kept) = (old.to_owned(), known.clone());
        // An unknown login costs what a known one costs, and says the same.
        let proved = tokio::task::spawn_blocking(move || match kept {
            Some(kept) => kept.verify(&given),
            None => {
                let _costs = Credential::without_scram(&given);
                false
            }
        });
        let proved = proved.await.unwrap_or(false);
        let Some(user) = user.filter(|user| proved && user.state == AccountState::Active) else {
            let actor = actor.clone();
            self.commit(move |tx| {
                Ok(record(
                    tx,
                    &actor,
                    Operation::OwnPassword,
                    &subject,
                    "refused",
                    vec![detail("why", "old password")],
                )?)
            })
            .await?;
            return Err(wrong());
        };
        if user.credential_expires.is_some_and(|end| end <= now) {
            return Err(Error::invalid(
                "the first password",
                "its time is over",
                "ask whoever administers your mailbox for another",
            ));
        }
        if old == new {
            return Err(Error::invalid("the password", "it is the old one", "choose another one"));
        }
        passwords::check(new, &login, self.settings().password_min)?;
        let credential = passwords::hash(new.to_owned(), false).await?;
        self.act(actor, Operation::OwnPassword, subject, move |tx| {
            let now = existing(&tx.reader(), &login)?;
            if now.credential != user.credential {
                return Err(wrong());
            }
            tx.set_user_credential(&login, &credential, false, None)?;
            Ok(((), vec![detail("was-first", user.initial)]))
        })
        .await
    }

    /// Asks the table before anything that costs much.
    pub async fn may(&self, actor: &Actor, operation: Operation, subject: Subject) -> Result<(), Error> {
        let (own, name) = (actor.clone(), subject.clone());
        let asked =
            self.store().read(move |reader| crate::permissions::permitted(reader, &own, operation, &name)).await?;
        if let Err(refusal) = asked {
            let actor = actor.clone();
            self.commit(move |tx| Ok(record(tx, &actor, operation, &subject, "refused", Vec::new())?)).await?;
            return Err(refusal);
        }
        Ok(())
    }
}
