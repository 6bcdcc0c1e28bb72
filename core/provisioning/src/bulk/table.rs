//! A table of mailboxes as spreadsheets write it: comma or semicolon, with or without a mark of its encoding.

use sigillo_mail::Mailbox;
use sigillo_store::accounts::Kind;
use sigillo_store::users::{LOGIN_MAX, USERS_MAX};

use super::Catalogue;
use crate::error::Error;
use crate::mailboxes::NewMailbox;

/// The columns, and what each holds. `address` must be there; `set:NAME` may come for any setting.
pub const COLUMNS: [(&str, &str); 6] = [
    ("address", "the mailbox to be made; its domain must be there"),
    ("kind", "individual (if empty), multi-user or application"),
    ("offer", "the name of an offer, which gives kind, size and settings"),
    ("quota", "octets, or a number with KB, MB or GB (of 1024); what the offer says if empty"),
    ("operators", "logins of a multi-user mailbox beside its holder, with spaces between"),
    ("set:NAME", "a setting that the administrator decides, such as set:forwarding"),
];
/// Octets of a table at most. Ours: 10,000 rows need one.
const TABLE_MAX: usize = 64 * 1024 * 1024;
/// Rows at most. Ours.
const ROWS_MAX: usize = 200_000;
/// Octets of a field at most. Ours.
const FIELD_MAX: usize = 4096;

/// One row that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// Line in the file, from 1.
    pub line: u64,
    /// The mailbox.
    pub address: Mailbox,
    kind: Option<Kind>,
    offer: Option<String>,
    quota: Option<u64>,
    /// Logins beside the holder's, in lower case.
    pub operators: Vec<String>,
    settings: Vec<(String, String)>,
}

/// One row that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1.
    pub line: u64,
    /// The address as it stands there.
    pub address: String,
    /// The column.
    pub column: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// A whole table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Rows that can be read, in order.
    pub rows: Vec<TableRow>,
    /// The others, one for each field at fault.
    pub mistakes: Vec<Mistake>,
}

enum Column {
    Address,
    Kind,
    Offer,
    Quota,
    Operators,
    Setting(String),
}

impl Column {
    fn of(name: &str) -> Option<Column> {
        Some(match name {
            "address" => Column::Address,
            "kind" => Column::Kind,
            "offer" => Column::Offer,
            "quota" => Column::Quota,
            "operators" => Column::Operators,
            _ => Column::Setting(name.strip_prefix("set:").filter(|name| !name.is_empty())?.to_owned()),
        })
    }
}

fn header_error(problem: String, remedy: String) -> Error {
    Error::invalid("line 1", problem, remedy)
}

fn columns(header: &csv::StringRecord) -> Result<Vec<Column>, Error> {
    let known = || COLUMNS.map(|(name, _)| name).join(", ");
    let mut columns = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let name = name.trim().to_ascii_lowercase();
        let column = Column::of(&name).ok_or_else(|| {
            let near = COLUMNS.iter().map(|(known, _)| *known).find(|known| strsim::jaro_winkler(known, &name) > 0.8);
            header_error(
                format!("column {} is called '{name}', which is none", index + 1),
                near.map_or_else(|| format!("there are {}", known()), |near| format!("did you mean {near}?")),
            )
        })?;
        if header.iter().take(index).any(|other| other.trim().eq_ignore_ascii_case(&name)) {
            return Err(header_error(format!("column '{name}' is there twice"), "keep one of them".into()));
        }
        columns.push(column);
    }
    if !columns.iter().any(|column| matches!(column, Column::Address)) {
        return Err(header_error(
            "there is no column 'address'".into(),
            format!("the first line names the columns: {}", known()),
        ));
    }
    Ok(columns)
}

impl Table {
    /// Reads a table. What is wrong with a row is in the table; only what is wrong with all of it is an error.
    pub fn read(bytes: &[u8]) -> Result<Table, Error> {
        if bytes.len() > TABLE_MAX {
            return Err(Error::invalid("the table", format!("it has more than {TABLE_MAX} octets"), "cut it in parts"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let semicolon = first.contains(&b';') && !first.contains(&b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if semicolon { b';' } else { b',' })
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let unreadable = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            let problem = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
                _ => error.to_string(),
            };
            Error::invalid(format!("line {line}"), problem, "save the table as CSV in UTF-8")
        };
        let columns = columns(reader.headers().map_err(unreadable)?)?;
        let mut table = Table::default();
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(unreadable)? {
            let line = record.position().map_or(0, csv::Position::line);
            if record.iter().all(<[u8]>::is_empty) {
                continue;
            }
            if table.rows.len() + table.mistakes.len() >= ROWS_MAX {
                return Err(Error::invalid(
                    format!("line {line}"),
                    format!("there are more than {ROWS_MAX} rows"),
                    "cut the table in parts",
                ));
            }
            match Row::read(line, &record, &columns) {
                Ok(row) => table.rows.push(row),
                Err(mistakes) => table.mistakes.extend(mistakes),
            }
        }
        Ok(table)
    }
}

struct Row;

impl Row {
    fn read(line: u64, record: &csv::ByteRecord, columns: &[Column]) -> Result<TableRow, Vec<Mistake>> {
        let address_at = columns.iter().position(|column| matches!(column, Column::Address)).unwrap_or(0);
        let shown = record.get(address_at).map(|text| String::from_utf8_lossy(text).chars().take(254).collect());
        let shown: String = shown.unwrap_or_default();
        let mistake = |column: &str, problem: String, remedy: String| Mistake {
            line,
            address: shown.clone(),
            column: column.to_owned(),
            problem,
            remedy,
        };
        let mut mistakes = Vec::new();
        if record.len() > columns.len() {
            mistakes.push(mistake(
                "",
                format!("it has {} fields and the header {}", record.len(), columns.len()),
                "put fields with the separator in them between quotation marks".into(),
            ));
        }
        let (mut address, mut kind, mut offer, mut quota) = (None, None, None, None);
        let (mut operators, mut settings) = (Vec::new(), Vec::new());
        for (column, field) in columns.iter().zip(record.iter()) {
            let name = column.name();
            let Ok(text) = std::str::from_utf8(field) else {
                mistakes.push(mistake(&name, "it is not UTF-8".into(), "save the table as CSV in UTF-8".into()));
                continue;
            };
            if text.len() > FIELD_MAX {
                mistakes.push(mistake(&name, format!("it has more than {FIELD_MAX} octets"), "shorten it".into()));
                continue;
            }
            if text.is_empty() {
                continue;
            }
            let read = match column {
                Column::Address => text.parse::<Mailbox>().map(|one| address = Some(one)).map_err(|error| {
                    let remedy = "write it as local-part@domain, in ASCII";
                    (format!("'{text}': {error}"), remedy.to_owned())
                }),
                Column::Kind => read_kind(text).map(|one| kind = Some(one)),
                Column::Offer => {
                    offer = Some(text.to_owned());
                    Ok(())
                }
                Column::Quota => read_quota(text).map(|one| quota = Some(one)),
                Column::Operators => read_operators(text).map(|some| operators = some),
                Column::Setting(name) => {
                    settings.push((name.clone(), text.to_owned()));
                    Ok(())
                }
            };
            if let Err((problem, remedy)) = read {
                mistakes.push(mistake(&name, problem, remedy));
            }
        }
        let empty = record.get(address_at).is_none_or(<[u8]>::is_empty);
        if empty {
            mistakes.push(mistake("address", "it is empty".into(), "give the address of the mailbox".into()));
        }
        match address {
            Some(address) if mistakes.is_empty() => {
                Ok(TableRow { line, address, kind, offer, quota, operators, settings })
            }
            _ => Err(mistakes),
        }
    }
}

impl Column {
    fn name(&self) -> String {
        match self {
            Column::Address => "address".into(),
            Column::Kind => "kind".into(),
            Column::Offer => "offer".into(),
            Column::Quota => "quota".into(),
            Column::Operators => "operators".into(),
            Column::Setting(name) => format!("set:{name}"),
        }
    }
}

type Complaint = (String, String);

fn read_kind(text: &str) -> Result<Kind, Complaint> {
    const KINDS: [Kind; 3] = [Kind::Individual, Kind::MultiUser, Kind::Application];
    KINDS.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        (format!("'{text}' is no kind of mailbox"), format!("use {}", KINDS.map(Kind::as_str).join(", ")))
    })
}

/// Octets, or a number with a unit of 1024: `5GB`, `512 MB`.
pub fn read_quota(text: &str) -> Result<u64, Complaint> {
    let upper = text.to_ascii_uppercase();
    let unit = [("GB", 1u64 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("", 1)];
    let parsed = unit.iter().find_map(|(word, factor)| {
        let number: u64 = upper.strip_suffix(word)?.trim_end().parse().ok()?;
        number.checked_mul(*factor).filter(|octets| (1..=i64::MAX as u64).contains(octets))
    });
    parsed.ok_or_else(|| (format!("'{text}' is no size"), "write octets, or a number with KB, MB or GB: 5GB".into()))
}

fn read_operators(text: &str) -> Result<Vec<String>, Complaint> {
    let logins: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_@+".contains(&b);
    if let Some(bad) = logins.iter().find(|login| login.len() > LOGIN_MAX || !login.bytes().all(good)) {
        return Err((format!("'{bad}' is no login"), format!("use 1 to {LOGIN_MAX} letters, digits and . - _ @ +")));
    }
    if let Some((index, twice)) = logins.iter().enumerate().find(|(index, login)| logins[..*index].contains(login)) {
        return Err((format!("'{twice}' is there twice"), format!("take number {} out", index + 1)));
    }
    if logins.len() >= USERS_MAX {
        let problem = format!("{} operators and the holder are more than {USERS_MAX} users", logins.len());
        return Err((problem, "take some out (BOX-02)".into()));
    }
    Ok(logins)
}

impl TableRow {
    /// What is to be made, with the figures of its offer; the error names the column.
    pub(super) fn mailbox(&self, catalogue: &dyn Catalogue) -> Result<NewMailbox, (String, Error)> {
        let invalid =
            |column: &str, problem: String| (column.to_owned(), Error::invalid(column, problem, "correct the row"));
        let offer = match &self.offer {
            Some(name) => Some(catalogue.offer(name).map_err(|problem| invalid("offer", problem))?),
            None => None,
        };
        let kind = match (&offer, self.kind) {
            (Some(offer), Some(kind)) if !offer.kinds.contains(&kind) => {
                let kinds: Vec<&str> = offer.kinds.iter().map(|kind| kind.as_str()).collect();
                return Err(invalid("kind", format!("the offer is for {} mailboxes", kinds.join(" or "))));
            }
            (Some(offer), kind) => kind.or(offer.kinds.first().copied()).unwrap_or(Kind::Individual),
            (None, kind) => kind.unwrap_or(Kind::Individual),
        };
        if kind != Kind::MultiUser && !self.operators.is_empty() {
            return Err(invalid("operators", format!("a mailbox of kind {} has its holder only", kind.as_str())));
        }
        let mut settings = offer.as_ref().map(|offer| offer.settings.clone()).unwrap_or_default();
        for (name, value) in &self.settings {
            catalogue.setting(name, value).map_err(|problem| invalid(&format!("set:{name}"), problem))?;
            settings.retain(|(other, _)| other != name);
            settings.push((name.clone(), value.clone()));
        }
        Ok(NewMailbox {
            address: self.address.clone(),
            kind,
            offer: self.offer.clone(),
            quota: self.quota.or(offer.as_ref().map(|offer| offer.quota)).unwrap_or_else(|| catalogue.quota()),
            daily_sends: offer.and_then(|offer| offer.daily_sends),
            settings,
            reuse: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Table {
        Table::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn adm_15_tables_of_spreadsheets_are_read() {
        let comma = read("address,quota\r\nada@alfa.example,5GB\r\n\r\n\"Eva\"@alfa.example,\r\n");
        let semicolon = read("\u{feff}Address ; Quota\nada@alfa.example ; 5 gb\n");
        assert_eq!(comma.rows[0].quota, Some(5 << 30));
        assert_eq!(semicolon.rows[0].quota, Some(5 << 30));
        assert_eq!((semicolon.rows[0].line, comma.rows.len() + comma.mistakes.len()), (2, 2));
    }

    #[test]
    fn adm_15_every_mistake_has_line_column_and_remedy() {
        let table = read(
            "address,kind,quota,operators\nno-at,individual,,\na@b.example,shared,-1,x x\nc@b.example,,,,more\n,,5GB,\n",
        );
        let found: Vec<(u64, &str)> = table.mistakes.iter().map(|m| (m.line, m.column.as_str())).collect();
        assert_eq!(found, [(2, "address"), (3, "kind"), (3, "quota"), (3, "operators"), (4, ""), (5, "address")]);
        assert!(table.mistakes.iter().all(|mistake| !mistake.problem.is_empty() && !mistake.remedy.is_empty()));
        assert!(table.rows.is_empty());
    }

    #[test]
    fn a_header_without_sense_is_told_with_what_was_meant() {
        let said = |text: &[u8]| Table::read(text).unwrap_err().to_string();
        assert!(said(b"adress,quota\n").contains("did you mean address?"));
        assert!(said(b"quota\n").contains("no column 'address'"));
        assert!(said(b"address,address\n").contains("twice"));
        assert!(said(b"address,\xff\n").contains("UTF-8"));
        let bytes = Table::read(b"address,quota\nada@alfa.example,\xff\n").unwrap();
        assert_eq!(bytes.mistakes[0].problem, "it is not UTF-8");
    }
}
