//! `Marker` and `MaxItems`: a list in pieces.

use super::refusal::Refusal;

/// Largest `MaxItems` of the API's model.
const MAX_ITEMS: usize = 10_000;

/// Items that a page has at most, whatever was asked for.
const PAGE: usize = 50;

/// Which piece of a list is asked for. A marker is the key of the last item of the
/// piece before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) marker: Option<String>,
    pub(crate) max_items: Option<usize>,
}

impl Page {
    /// Checks the two parameters.
    ///
    /// # Errors
    /// `MaxItems` is no number from 1 to 10000.
    pub(crate) fn new(marker: Option<&str>, max_items: Option<&str>) -> Result<Self, Refusal> {
        let max_items = max_items.map(|text| {
            let bound = match text.parse::<usize>() {
                Ok(number) if (1..=MAX_ITEMS).contains(&number) => return Ok(number),
                Ok(0) => "greater than or equal to 1",
                _ => "less than or equal to 10000",
            };
            let rule = format!("Member must have value {bound}");
            Err(Refusal::constraint(text, "maxItems", &rule))
        });
        Ok(Self {
            marker: marker.map(str::to_owned),
            max_items: max_items.transpose()?,
        })
    }

    /// The piece of a list of keys and items, and the marker of the next one.
    pub(crate) fn of<T>(
        &self,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> (Vec<T>, Option<String>) {
        let mut items = items.into_iter().peekable();
        if let Some(marker) = &self.marker {
            let found = items.by_ref().find(|(key, _)| key == marker);
            if found.is_none() {
                return (vec![], None);
            }
        }
        let size = self.max_items.unwrap_or(PAGE).min(PAGE);
        let mut last = None;
        let mut piece = Vec::new();
        while piece.len() < size
            && let Some((key, item)) = items.next()
        {
            piece.push(item);
            last = Some(key);
        }
        let more = items.peek().is_some();
        (piece, last.filter(|_| more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_together_are_the_list() {
        for count in [0, 1, 49, 50, 51, 120] {
            for max in [None, Some(1), Some(7), Some(10_000)] {
                let list: Vec<usize> = (0..count).collect();
                let items = || list.iter().map(|number| (format!("k{number}"), *number));
                let (mut together, mut marker) = (vec![], None);
                loop {
                    let page = Page {
                        marker,
                        max_items: max,
                    };
                    let (piece, next) = page.of(items());
                    assert!(piece.len() <= max.unwrap_or(PAGE).min(PAGE));
                    together.extend(piece);
                    marker = next;
                    if marker.is_none() {
                        break;
                    }
                }
                assert_eq!(together, list, "{count} {max:?}");
            }
        }
    }

    #[test]
    fn sizes_are_checked() {
        for bad in ["0", "10001", "-1", "x", ""] {
            assert!(Page::new(None, Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(Page::new(None, Some("1")).unwrap().max_items, Some(1));
    }
}
