//! How prompts share the rows of a step.

/// A prompt that waits to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Which generation it belongs to.
    pub(super) index: usize,
    /// Rows that are left of it.
    pub(super) wants: usize,
    /// Rows that it gets.
    pub(super) rows: usize,
}

/// Shares `room` rows between prompts, the oldest first in `waiting`: half of
/// them are the oldest's, the others go to those that need least. So a short
/// prompt does not wait for a long one to be over, and none waits for ever.
pub(super) fn share(waiting: &mut [Share], room: usize) {
    let (half, mut room) = (room.div_ceil(2), room);
    let mut give = |share: &mut Share, most: usize| {
        let rows = (share.wants - share.rows).min(most).min(room);
        share.rows += rows;
        room -= rows;
    };
    if let Some(oldest) = waiting.first_mut() {
        give(oldest, half);
    }
    waiting.sort_unstable_by_key(|share| (share.wants - share.rows, share.index));
    for share in waiting.iter_mut() {
        give(share, usize::MAX);
    }
    waiting.sort_unstable_by_key(|share| share.index);
}

/// Gives `room` rows to one prompt, where a step has room for one alone: to the
/// oldest, and every other time to that which needs least.
pub(super) fn give_one(waiting: &mut [Share], room: usize, oldest: bool) {
    let chosen = if oldest {
        waiting.first_mut()
    } else {
        waiting.iter_mut().min_by_key(|share| share.wants)
    };
    if let Some(share) = chosen {
        share.rows = share.wants.min(room);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(wants: &[usize]) -> Vec<Share> {
        let shares = wants.iter().enumerate();
        shares
            .map(|(index, &wants)| Share {
                index,
                wants,
                rows: 0,
            })
            .collect()
    }

    fn shared(wants: &[usize], room: usize) -> Vec<usize> {
        let mut shares = waiting(wants);
        share(&mut shares, room);
        shares.iter().map(|share| share.rows).collect()
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
            // Alike: one after the other.
            (&[100, 100], 8, &[8, 0]),
            (&[2, 100, 3], 8, &[2, 3, 3]),
            (&[100, 3], 1, &[1, 0]),
            (&[100, 3], 0, &[0, 0]),
        ] {
            assert_eq!(shared(wants, room), expected, "{wants:?} {room}");
        }
    }

    #[test]
    fn where_there_is_room_for_one_they_take_turns() {
        for (oldest, expected) in [(true, [8, 0, 0]), (false, [0, 0, 2])] {
            let mut shares = waiting(&[100, 9, 2]);
            give_one(&mut shares, 8, oldest);
            let rows: Vec<_> = shares.iter().map(|share| share.rows).collect();
            assert_eq!(rows, expected);
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
            // Whoever gets less than it wants needs no less than those who got all.
            let unmet = wants.iter().zip(&rows).skip(1).filter(|(wants, rows)| rows < wants);
            let least = unmet.map(|(wants, _)| *wants).min().unwrap_or(usize::MAX);
            let met = wants.iter().zip(&rows).skip(1).filter(|(wants, rows)| rows == wants);
            prop_assert!(met.map(|(wants, _)| *wants).all(|wants| wants <= least));
        }
    }
}
