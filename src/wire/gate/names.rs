//! The names inside an update: of elements, of their attributes, of marks on text.
//!
//! Owns finding them. Does not know what a name means.

use super::GateError;
use super::content::{FORMAT, TYPE, TYPE_ELEMENT, fits};
use super::parse::read_struct;
use crate::wire::varint::Reader;

/// A name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// Of an XML element (`nodeName`).
    Element(&'a str),
    /// The key of a value that belongs to another type: an element's attribute. Only the first value of a key says it.
    Attribute(&'a str),
    /// The key of formatting on text.
    Mark(&'a str),
}

/// Shows the names of everything that an update brings and that is not deleted.
///
/// # Errors
/// See [`GateError`].
pub fn names<'a>(update: &'a [u8], mut show: impl FnMut(Name<'a>)) -> Result<(), GateError> {
    let text = |at: usize| Reader::new(update.get(at..).unwrap_or_default()).str();
    let mut reader = Reader::new(update);
    let sections = reader.uint()?;
    for _ in 0..fits(sections, &reader, 3)? {
        let structs = reader.uint()?;
        reader.uint()?; // client
        reader.uint()?; // first clock
        for _ in 0..fits(structs, &reader, 2)? {
            let one = read_struct(&mut reader)?;
            if one.key_at > 0 && one.refers[2].is_some() {
                show(Name::Attribute(text(one.key_at)?));
            }
            match one.kind() {
                FORMAT => show(Name::Mark(text(one.content_at)?)),
                TYPE => {
                    let mut content = Reader::new(update.get(one.content_at..).unwrap_or_default());
                    if content.uint()? == TYPE_ELEMENT {
                        show(Name::Element(content.str()?));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yrs::{
        Any, Doc, ReadTxn, StateVector, Text, Transact, Xml, XmlElementPrelim, XmlFragment, XmlTextPrelim,
    };

    use super::*;

    #[test]
    fn every_name_that_an_engine_writes_is_found() {
        let doc = Doc::new();
        let root = doc.get_or_insert_xml_fragment("default");
        let mut at = doc.transact_mut();
        let list = root.push_back(&mut at, XmlElementPrelim::empty("bullet_list"));
        list.insert_attribute(&mut at, "tight", "x");
        list.insert_attribute(&mut at, "tight", "y");
        let item = list.push_back(&mut at, XmlElementPrelim::empty("list_item"));
        let text = item.push_back(&mut at, XmlTextPrelim::new("letters"));
        text.format(&mut at, 0, 3, [("strike".into(), Any::Bool(true))].into());
        let update = at.encode_state_as_update_v1(&StateVector::default());
        let mut found = Vec::new();
        names(&update, |name| found.push(name)).unwrap();
        for name in [Name::Element("bullet_list"), Name::Element("list_item"), Name::Attribute("tight")] {
            assert_eq!(found.iter().filter(|one| **one == name).count(), 1, "{name:?} in {found:?}");
        }
        assert_eq!(
            found.iter().filter(|one| **one == Name::Mark("strike")).count(),
            2,
            "its begin and its end"
        );
        assert_eq!(found.len(), 5);
        assert!(names(&update[..update.len() / 2], |_| {}).is_err());
    }
}
