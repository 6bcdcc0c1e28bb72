//! A store with a customer, its domain and some people, and the operations on it.
#![allow(dead_code)]

use sigillo_mail::{Domain, Mailbox};
use sigillo_provisioning::customers::NewCustomer;
use sigillo_provisioning::mailboxes::NewMailbox;
use sigillo_provisioning::roles::RoleRequest;
use sigillo_provisioning::users::Password;
use sigillo_provisioning::{Actor, Error, Provisioning, Role, Settings};
use sigillo_store::evidence::{Record, Search, Stream};
use sigillo_store::{DomainClass, Store};

pub const DOMAIN: &str = "pec.alfa.example";
pub const PASSWORD: &str = "corretto cavallo";

pub struct House {
    pub provisioning: Provisioning,
    pub root: Actor,
    pub folder: tempfile::TempDir,
}

pub fn mailbox(address: &str) -> Mailbox {
    address.parse().unwrap()
}

pub fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

pub fn new(address: &str) -> NewMailbox {
    NewMailbox::individual(mailbox(address), 1 << 20)
}

impl House {
    /// Nothing but a store.
    pub fn empty() -> House {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let provisioning = Provisioning::new(store, Settings::default());
        House { provisioning, root: Actor::system("root", 0, None), folder }
    }

    /// Customer `c-1` with its domain.
    pub async fn with_customer() -> House {
        let house = House::empty();
        let customer = NewCustomer { id: "c-1".into(), name: "Comune di Alfa".into(), ..NewCustomer::default() };
        house.provisioning.add_customer(&house.root, customer).await.unwrap();
        house.add_domain(DOMAIN, Some("c-1")).await;
        house
    }

    pub async fn add_domain(&self, name: &str, customer: Option<&str>) {
        let customer = customer.map(str::to_owned);
        self.provisioning.add_domain(&self.root, &domain(name), DomainClass::Certified, customer).await.unwrap();
    }

    /// A mailbox whose password is [`PASSWORD`].
    pub async fn add(&self, address: &str) {
        self.provisioning.add_mailbox(&self.root, new(address), Password::Final(PASSWORD.into())).await.unwrap();
    }

    pub async fn grant(&self, login: &str, role: Role, customer: Option<&str>) -> Result<(), Error> {
        self.grant_by(&self.root, login, role, customer).await
    }

    pub async fn grant_by(&self, actor: &Actor, login: &str, role: Role, customer: Option<&str>) -> Result<(), Error> {
        let request = RoleRequest { login: login.into(), role, customer: customer.map(str::to_owned) };
        self.provisioning.grant_role(actor, request).await
    }

    /// The audit trail, the oldest first.
    pub async fn trail(&self) -> Vec<Record> {
        let search = Search { stream: Stream::Audit, limit: 100_000, ..Search::default() };
        self.provisioning.store().read(move |reader| reader.search_evidence(&search)).await.unwrap()
    }

    /// Brings the store into a state by hand.
    pub async fn sql(&self, statement: &str) {
        let statement = statement.to_owned();
        self.provisioning.store().write(move |tx| tx.execute_for_test(&statement)).await.unwrap();
    }
}

/// Somebody who acts with his own rights.
pub fn by(login: &str) -> Actor {
    Actor::on_behalf(login, 0)
}

/// That it was refused for want of a role.
pub fn refused<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Refused { .. }))
}
