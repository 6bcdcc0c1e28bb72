//! The index of a package in the form of UNI 11386:2020 (SInCRO, `PIndex`), with metadata of ours inside its `MoreInfo`.

use crate::entry::{Entry, Facts, LogFacts, MessageFacts};
use crate::legal_time::LegalTime;
use crate::package::{Agent, Package};
use crate::xml::Xml;

/// Name of the index in the package.
pub const NAME: &str = "PIndex.xml";
/// Name of the stamp over it.
pub const STAMP_NAME: &str = "PIndex.xml.tsr";
/// Name of the grammar of our metadata in the package.
pub const SCHEMA_NAME: &str = "schema/metadata.xsd";
/// The grammar of our metadata.
pub const SCHEMA: &str = include_str!("../schema/metadata.xsd");

/// The namespace of the standard, and the name that it gives its own grammar.
const SINCRO: &str = "http://www.uni.com/U3011/sincro-v2/";
const SINCRO_URI: &str = "http://www.uni.com/U3011/sincro-v2/PIndex.xsd";
/// The namespace of our metadata.
const METADATA: &str = "urn:sigillo:conservation:1";
/// Who gives the ids.
const SCHEME: &str = "sigillo";
/// The rules under which it is made: the guidelines of AgID, in force since 2022.
const RULES: &str = "Linee guida AgID sulla formazione, gestione e conservazione dei documenti informatici";

/// The document. It depends on nothing but its arguments and this code.
pub fn render(package: &Package, entries: &[Entry]) -> String {
    let mut xml = Xml::new();
    let head = [
        ("xmlns:sincro", SINCRO),
        ("xmlns:m", METADATA),
        ("sincro:language", "it"),
        ("sincro:uri", SINCRO_URI),
        ("sincro:sincroVersion", "2.0"),
    ];
    xml.element("sincro:PIndex", &head, |xml| {
        xml.element("sincro:SelfDescription", &[], |xml| {
            id(xml, &format!("{}.index", package.id));
            xml.element("sincro:CreatingApplication", &[], |xml| {
                xml.text("sincro:Name", &[], "Sigillo conservation");
                xml.text("sincro:Version", &[], env!("CARGO_PKG_VERSION"));
                xml.text("sincro:Producer", &[], "Sigillo");
            });
        });
        volume(xml, package);
        xml.element("sincro:FileGroup", &[], |xml| {
            id(xml, &format!("{}.files", package.id));
            xml.text("sincro:Label", &[], if package.is_log() { "Log" } else { "Messaggi" });
            entries.iter().for_each(|entry| file(xml, package, entry));
        });
        process(xml, package);
    });
    xml.finish()
}

fn id(xml: &mut Xml, value: &str) {
    xml.text("sincro:ID", &[("sincro:scheme", SCHEME)], value);
}

fn volume(xml: &mut Xml, package: &Package) {
    xml.element("sincro:PVolume", &[], |xml| {
        id(xml, &package.id);
        let (label, words) = match package.is_log() {
            true => ("Pacchetto di versamento di log", "File di log del gestore, sigillati e marcati".to_owned()),
            false => (
                "Pacchetto di versamento di messaggi",
                format!("Messaggi e ricevute della casella {}, archiviati il {}", package.mailbox, package.day),
            ),
        };
        xml.text("sincro:Label", &[], label);
        xml.text("sincro:Description", &[], &words);
        xml.element("sincro:PVolumeGroup", &[], |xml| {
            id(xml, if package.is_log() { "log" } else { &package.mailbox });
        });
    });
}

fn file(xml: &mut Xml, package: &Package, entry: &Entry) {
    let (extension, format) = match entry.facts {
        Facts::Message(_) => ("eml", "message/rfc822"),
        Facts::Log(_) => ("jsonl", LOG_FORMAT),
    };
    let attributes = [("sincro:encoding", "binary"), ("sincro:extension", extension), ("sincro:format", format)];
    xml.element("sincro:File", &attributes, |xml| {
        id(xml, &entry.id);
        xml.text("sincro:Path", &[], &entry.path);
        xml.text("sincro:Hash", &[("sincro:hashFunction", "SHA-256")], &entry.sha256);
        xml.element("sincro:MoreInfo", &[("sincro:xmlSchema", SCHEMA_NAME)], |xml| {
            xml.element("sincro:EmbeddedMetadata", &[], |xml| match &entry.facts {
                Facts::Message(facts) => message(xml, package, entry, facts),
                Facts::Log(facts) => log(xml, package, entry, facts),
            });
        });
    });
}

/// The form of log files: lines of JSON.
const LOG_FORMAT: &str = "application/jsonl";

fn message(xml: &mut Xml, package: &Package, entry: &Entry, facts: &MessageFacts) {
    xml.element("m:message", &[], |xml| {
        xml.text("m:mailbox", &[], &package.mailbox);
        xml.text("m:direction", &[], &facts.direction);
        xml.text("m:kept", &[], &utc(entry.kept));
        xml.text("m:size", &[], &entry.size.to_string());
        xml.text("m:kind", &[], &facts.kind);
        xml.text("m:from", &[], &facts.from);
        facts.to.iter().for_each(|to| xml.text("m:to", &[], to));
        xml.text("m:subject", &[], &facts.subject);
        xml.text("m:message-id", &[], &facts.message_id);
        xml.text("m:date", &[], &facts.date);
    });
}

/// The nine metadata of LOG-15, in its order.
fn log(xml: &mut Xml, package: &Package, entry: &Entry, facts: &LogFacts) {
    xml.element("m:log", &[], |xml| {
        xml.text("m:file-id", &[], &entry.id);
        xml.text("m:closing-date", &[], &utc(entry.kept));
        xml.text("m:hash", &[], &entry.sha256);
        xml.text("m:provider", &[], &package.submitter.name);
        xml.text("m:subject", &[], &facts.log);
        xml.text("m:format", &[], LOG_FORMAT);
        xml.text("m:addressee", &[], package.addressee.as_deref().unwrap_or_default());
        xml.text("m:period-start", &[], &utc(facts.since));
        xml.text("m:period-end", &[], &utc(facts.until));
    });
}

fn utc(at: u64) -> String {
    LegalTime { at, offset: 0 }.iso()
}

fn process(xml: &mut Xml, package: &Package) {
    let natural = ("sincro:agentType", "natural person");
    let legal = ("sincro:agentType", "legal person");
    xml.element("sincro:Process", &[], |xml| {
        xml.element("sincro:Submitter", &[legal], |xml| agent(xml, package, &package.submitter));
        let holder = [legal, ("sincro:holderRole", "soggetto produttore")];
        xml.element("sincro:Holder", &holder, |xml| agent(xml, package, &package.holder));
        // Who is responsible for the content where one is named; the provider for what it makes itself.
        let (signer, kind) = match &package.addressee {
            Some(name) => (Agent { name: name.clone(), id: None }, natural),
            None => (package.submitter.clone(), legal),
        };
        let role = if package.is_log() { "Responsabile della sicurezza dei log" } else { "Responsabile dei contenuti" };
        xml.element("sincro:AuthorizedSigner", &[kind, ("sincro:signerRole", role)], |xml| {
            agent(xml, package, &signer)
        });
        xml.element("sincro:TimeReference", &[], |xml| {
            let at = LegalTime { at: package.created, offset: package.offset }.iso();
            xml.text("sincro:TimeInfo", &[("sincro:attachedTimeStamp", "true")], &at);
        });
        xml.text("sincro:LawsAndRegulations", &[], RULES);
    });
}

fn agent(xml: &mut Xml, package: &Package, agent: &Agent) {
    agent.id.iter().for_each(|id| xml.text("sincro:AgentID", &[], id));
    xml.element("sincro:AgentName", &[], |xml| xml.text("sincro:FormalName", &[], &agent.name));
    xml.text("sincro:RelevantDocument", &[], &package.relevant_document);
}
