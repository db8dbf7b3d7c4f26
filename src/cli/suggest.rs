//! "Did you mean": the nearest of some names.

/// Returns the candidate nearest to a name, if one is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the candidate that a name is a slip of: one or two letters more, less, or others.
pub fn slip_of<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut candidates = candidates.into_iter();
    candidates.find(|candidate| (1..=2).contains(&distance(name, candidate)))
}

/// Returns a hint that names the nearest candidate.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean '{candidate}'?"))
}

/// Counts the insertions, deletions and replacements between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        let names = ["etl-queue", "reports", "default"];
        assert_eq!(nearest("etl-queu", names), Some("etl-queue"));
        assert_eq!(nearest("Defualt", names), Some("default"));
        assert_eq!(nearest("zzzzzz", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(
            slip_of("PREFECT_API_ULR", ["PREFECT_API_URL"]),
            Some("PREFECT_API_URL")
        );
        assert_eq!(slip_of("PREFECT_API_URL", ["PREFECT_API_URL"]), None);
    }
}
