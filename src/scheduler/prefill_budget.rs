//! Divides the rows of a step between prompts.

/// A prompt that waits to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefillShare {
    /// Index of the generation's slot.
    pub(super) index: usize,
    /// Rows of the prompt that are not evaluated yet.
    pub(super) wants: usize,
    /// Rows that it gets in this step.
    pub(super) rows: usize,
}

/// A prompt overtakes the oldest one if it needs this many times fewer rows. Between two of similar
/// length, the later would gain little and the earlier would lose as much.
const FAR_SHORTER: usize = 4;

/// Divides `room` rows between the prompts in `waiting`, which are ordered by age, oldest first.
/// The oldest gets half of the rows; the rest goes to prompts that are far shorter, shortest first.
/// A short prompt thus does not wait for a long one to finish, and no prompt starves.
pub(super) fn share(waiting: &mut [PrefillShare], room: usize) {
    let (half, mut room) = (room.div_ceil(2), room);
    let mut give = |share: &mut PrefillShare, most: usize| {
        let rows = (share.wants - share.rows).min(most).min(room);
        share.rows += rows;
        room -= rows;
    };
    let Some(oldest) = waiting.first_mut() else {
        return;
    };
    give(oldest, half);
    let short = oldest.wants / FAR_SHORTER;
    waiting.sort_unstable_by_key(|share| (share.wants, share.index));
    for share in waiting.iter_mut().filter(|share| share.wants <= short) {
        give(share, usize::MAX);
    }
    waiting.sort_unstable_by_key(|share| share.index);
    for share in waiting.iter_mut() {
        give(share, usize::MAX);
    }
}

/// Gives all `room` rows to one prompt, for models whose steps hold a single prompt: to the oldest
/// or, every other time, to the shortest if it is far shorter.
pub(super) fn give_one(waiting: &mut [PrefillShare], room: usize, oldest: bool) {
    let short = waiting.first().map_or(0, |first| first.wants / FAR_SHORTER);
    let shorter = waiting.iter().enumerate();
    let shorter = shorter.filter(|(_, share)| !oldest && share.wants <= short);
    let shortest = shorter.min_by_key(|(_, share)| share.wants);
    let chosen = shortest.map_or(0, |(index, _)| index);
    if let Some(share) = waiting.get_mut(chosen) {
        share.rows = share.wants.min(room);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(wants: &[usize]) -> Vec<PrefillShare> {
        let prefill_budget = wants.iter().enumerate();
        prefill_budget
            .map(|(index, &wants)| PrefillShare {
                index,
                wants,
                rows: 0,
            })
            .collect()
    }

    fn shared(wants: &[usize], room: usize) -> Vec<usize> {
        let mut prefill_budget = waiting(wants);
        share(&mut prefill_budget, room);
        prefill_budget.iter().map(|share| share.rows).collect()
    }

    #[test]
    fn short_prompts_pass_and_the_oldest_goes_on() {
        for (wants, room, expected) in [
            (&[][..], 8, &[][..]),
            (&[5], 8, &[5]),
            (&[100], 8, &[8]),
            (&[100, 3], 8, &[5, 3]),
            (&[100, 9], 8, &[4, 4]),
            (&[100, 9, 2], 8, &[4, 2, 2]),
            // Similar lengths: one after the other.
            (&[100, 100], 8, &[8, 0]),
            (&[100, 90], 8, &[8, 0]),
            (&[100, 26, 90, 25], 8, &[4, 0, 0, 4]),
            (&[2, 100, 3], 8, &[2, 6, 0]),
            (&[100, 3], 1, &[1, 0]),
            (&[100, 3], 0, &[0, 0]),
        ] {
            assert_eq!(shared(wants, room), expected, "{wants:?} {room}");
        }
    }

    #[test]
    fn where_there_is_room_for_one_they_take_turns() {
        for (wants, oldest, expected) in [
            ([100, 9, 2], true, [8, 0, 0]),
            ([100, 9, 2], false, [0, 0, 2]),
            ([100, 30, 26], false, [8, 0, 0]),
        ] {
            let mut prefill_budget = waiting(&wants);
            give_one(&mut prefill_budget, 8, oldest);
            let rows: Vec<_> = prefill_budget.iter().map(|share| share.rows).collect();
            assert_eq!(rows, expected, "{wants:?}");
        }
        give_one(&mut [], 8, true);
    }

    proptest! {
        #[test]
        fn all_rows_are_used_and_none_is_given_twice(
            wants in prop::collection::vec(1_usize..200, 0..12),
            room in 0_usize..600,
        ) {
            let rows = shared(&wants, room);
            let all: usize = wants.iter().sum();
            prop_assert_eq!(rows.iter().sum::<usize>(), all.min(room));
            prop_assert!(rows.iter().zip(&wants).all(|(rows, wants)| rows <= wants));
            if let (Some(rows), Some(wants)) = (rows.first(), wants.first()) {
                prop_assert!(*rows >= room.div_ceil(2).min(*wants));
            }
            // A prompt overtakes only those that want many more rows.
            let all = || wants.iter().zip(&rows).enumerate();
            for (index, (wanted, got)) in all().filter(|(_, (_, got))| **got > 0) {
                for (_, (other, least)) in all().take(index).skip(1) {
                    prop_assert!(least == other || wanted < other, "{wanted} {got}");
                }
            }
        }
    }
}
