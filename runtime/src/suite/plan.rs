//! Which cases share an environment, and in which order.

use super::model::{Case, Function, Start};

/// Cases, by their numbers, in groups. The cases of a group run one after the other;
/// groups run side by side. Warm cases of equal functions that need one environment
/// are a group, in their order; every other case is one by itself.
pub(crate) fn plan<'a>(
    cases: impl IntoIterator<Item = (&'a Case, &'a Function)>,
) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = vec![];
    let mut shared: Vec<(&Function, usize)> = vec![];
    for (number, (case, function)) in cases.into_iter().enumerate() {
        if case.start == Start::Cold || case.concurrency > 1 {
            groups.push(vec![number]);
            continue;
        }
        if let Some((_, group)) = shared.iter().find(|(other, _)| *other == function) {
            groups[*group].push(number);
        } else {
            shared.push((function, groups.len()));
            groups.push(vec![number]);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::{Outside, read};
    use super::*;

    #[test]
    fn warm_cases_of_equal_functions_share() {
        let suite = read(
            "start: warm\ncases:\n\
             - {name: a}\n\
             - {name: b, start: cold}\n\
             - {name: c, timeout: 5}\n\
             - {name: d}\n\
             - {name: e, concurrency: 2}\n\
             - {name: f, timeout: 5}\n\
             - {name: g, environment: {AB: '1'}}\n",
            Outside::of(&|_| Err("no files".to_owned())),
        )
        .unwrap();
        let cases = suite.cases.iter().map(|case| (case, &case.function));
        let groups: [&[usize]; 5] = [&[0, 3], &[1], &[2, 5], &[4], &[6]];
        assert_eq!(plan(cases), groups);
    }
}
