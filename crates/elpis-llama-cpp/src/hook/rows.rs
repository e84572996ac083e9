//! The rows of a layer's output, wherever they are stored.

use llama_cpp_sys_2 as sys;

/// Rows at most this far apart are copied together with those between them.
const CLOSE: usize = 8;

/// The rows of a float tensor `[n_embd, n_rows]` in host or device memory.
pub(super) struct RowView {
    tensor: *mut sys::ggml_tensor,
    n_embd: usize,
    pub(super) n_rows: usize,
    stride: usize,
    host: bool,
}

impl RowView {
    /// # Safety
    /// `tensor` must be a computed tensor of the graph in evaluation.
    pub(super) unsafe fn of(tensor: *mut sys::ggml_tensor, n_embd: usize) -> Result<Self, String> {
        // SAFETY: by the caller.
        let t = unsafe { &*tensor };
        if t.type_ != sys::GGML_TYPE_F32 || t.ne[0] != n_embd as i64 || t.ne[2] != 1 || t.ne[3] != 1
        {
            return Err(format!(
                "the output of a layer has type {} and shape {:?}",
                t.type_, t.ne
            ));
        }
        // A view has no buffer of its own.
        let buffer = if t.buffer.is_null() && !t.view_src.is_null() {
            // SAFETY: a view's source outlives it.
            unsafe { (*t.view_src).buffer }
        } else {
            t.buffer
        };
        let aligned = t.data.cast::<f32>().is_aligned() && t.nb[1] % align_of::<f32>() == 0;
        if t.nb[0] != size_of::<f32>() || buffer.is_null() || t.data.is_null() || !aligned {
            return Err("the output of a layer is not stored as contiguous rows".to_owned());
        }
        Ok(Self {
            tensor,
            n_embd,
            n_rows: usize::try_from(t.ne[1]).unwrap_or_default(),
            stride: t.nb[1],
            // SAFETY: the buffer belongs to a live tensor.
            host: unsafe { sys::ggml_backend_buffer_is_host(buffer) },
        })
    }

    /// Number of rows that one copy may take, which are contiguous.
    fn rows_per_copy(&self, rows: usize) -> usize {
        let tight = self.stride == self.n_embd * size_of::<f32>();
        if tight { rows.max(1) } else { 1 }
    }

    /// Reads the rows from `first` on.
    ///
    /// # Safety
    /// `values` holds as many whole rows as the tensor has from `first` on, or fewer.
    pub(super) unsafe fn read(&self, first: usize, values: &mut [f32]) {
        let rows = self.rows_per_copy(values.len() / self.n_embd);
        let copies = values.chunks_exact_mut(rows * self.n_embd);
        for (index, values) in copies.enumerate() {
            // SAFETY: the rows lie within the tensor, by the caller.
            unsafe {
                sys::ggml_backend_tensor_get(
                    self.tensor,
                    values.as_mut_ptr().cast(),
                    (first + index * rows) * self.stride,
                    size_of_val(values),
                );
            }
        }
    }

    /// # Safety
    /// As of [`read`](Self::read).
    unsafe fn write(&self, first: usize, values: &[f32]) {
        let rows = self.rows_per_copy(values.len() / self.n_embd);
        let copies = values.chunks_exact(rows * self.n_embd);
        for (index, values) in copies.enumerate() {
            // SAFETY: the rows lie within the tensor, by the caller.
            unsafe {
                sys::ggml_backend_tensor_set(
                    self.tensor,
                    values.as_ptr().cast(),
                    (first + index * rows) * self.stride,
                    size_of_val(values),
                );
            }
        }
    }

    /// Calls `look` with the values of a row.
    ///
    /// # Safety
    /// The tensor has this row.
    pub(super) unsafe fn with_row<T>(
        &self,
        index: usize,
        scratch: &mut Vec<f32>,
        look: impl FnOnce(&[f32]) -> T,
    ) -> Option<T> {
        if self.host {
            // SAFETY: host memory of the tensor, in which the row lies; nobody writes to it while
            // the graph waits for this callback.
            let row = unsafe {
                let row = (*self.tensor).data.cast::<f32>();
                std::slice::from_raw_parts(row.byte_add(index * self.stride), self.n_embd)
            };
            return Some(look(row));
        }
        if scratch.len() < self.n_embd {
            scratch.resize(self.n_embd, 0.0);
        }
        let values = scratch.get_mut(..self.n_embd)?;
        // SAFETY: `values` holds one row, which the tensor has.
        unsafe { self.read(index, values) };
        Some(look(values))
    }

    /// Adds its vector to each of the rows, whose indices ascend. In device memory every copy waits
    /// for the device, so close rows are copied together.
    ///
    /// # Safety
    /// The tensor has these rows; each vector has the width of a row.
    pub(super) unsafe fn add<'v>(
        &self,
        rows: &[(usize, u32)],
        vector: impl Fn(u32) -> Option<&'v [f32]>,
        scratch: &mut Vec<f32>,
    ) {
        if self.host {
            for &(index, plan) in rows {
                // SAFETY: host memory of the tensor; the row lies within it and nobody else
                // touches it while the graph waits for this callback.
                let row = unsafe {
                    let row = (*self.tensor).data.cast::<f32>();
                    let row = row.byte_add(index * self.stride);
                    std::slice::from_raw_parts_mut(row, self.n_embd)
                };
                add_to(row, vector(plan));
            }
            return;
        }
        for run in rows.chunk_by(|a, b| b.0 - a.0 <= CLOSE) {
            let (Some(&(first, _)), Some(&(last, _))) = (run.first(), run.last()) else {
                continue;
            };
            let length = (last + 1 - first) * self.n_embd;
            if scratch.len() < length {
                scratch.resize(length, 0.0);
            }
            let values = scratch.get_mut(..length).unwrap_or_default();
            // SAFETY: rows from `first` to `last`; what is written is what was read.
            unsafe {
                self.read(first, values);
                for &(index, plan) in run {
                    let row = values.chunks_exact_mut(self.n_embd).nth(index - first);
                    add_to(row.unwrap_or_default(), vector(plan));
                }
                self.write(first, values);
            }
        }
    }
}

fn add_to(row: &mut [f32], vector: Option<&[f32]>) {
    for (value, delta) in row.iter_mut().zip(vector.unwrap_or_default()) {
        *value += delta;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 4;
    const ROWS: usize = 24;

    /// A tensor, or a view of the left half of one twice as wide, whose values count up from 0.
    fn with_tensor(tight: bool, check: impl FnOnce(RowView)) {
        let wide = if tight { WIDTH } else { 2 * WIDTH };
        let values: Vec<f32> = (0..ROWS * wide).map(|value| value as f32).collect();
        // SAFETY: a context without memory of its own, whose tensors are put in a host buffer
        // and freed at the end; `values` fills the tensor.
        unsafe {
            let context = sys::ggml_init(sys::ggml_init_params {
                mem_size: 4096,
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            });
            let (ne0, ne1) = (wide as i64, ROWS as i64);
            let whole = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, ne0, ne1);
            let buffer = sys::ggml_backend_alloc_ctx_tensors_from_buft(
                context,
                sys::ggml_backend_cpu_buffer_type(),
            );
            sys::ggml_backend_tensor_set(
                whole,
                values.as_ptr().cast(),
                0,
                size_of_val(values.as_slice()),
            );
            let stride = (*whole).nb[1];
            let part = sys::ggml_view_2d(context, whole, WIDTH as i64, ne1, stride, 0);
            check(RowView::of(part, WIDTH).unwrap());
            sys::ggml_backend_buffer_free(buffer);
            sys::ggml_free(context);
        }
    }

    #[test]
    fn rows_are_added_to_the_same_on_host_and_device() {
        let vectors: Vec<Vec<f32>> = (1..4).map(|v| vec![v as f32 * 100.0; WIDTH]).collect();
        let vector = |plan: u32| vectors.get(plan as usize).map(Vec::as_slice);
        let cases: [&[(usize, u32)]; 6] = [
            &[],
            &[(0, 2)],
            &[(1, 0), (2, 1), (3, 2)],
            &[(0, 1), (3, 0), (5, 2)],
            &[(2, 0), (3, 1), (20, 2), (23, 0)],
            &[(0, 9), (23, 1)],
        ];
        // One for all, as the hook has it: what an earlier use left must not matter.
        let mut scratch = Vec::new();
        for (tight, host) in [(true, true), (true, false), (false, true), (false, false)] {
            for rows in cases {
                with_tensor(tight, |mut view| {
                    assert_eq!((view.host, view.n_rows), (true, ROWS));
                    // Host memory can be reached as a device's is.
                    view.host = host;
                    let (mut before, mut after) =
                        (vec![0.0; ROWS * WIDTH], vec![0.0; ROWS * WIDTH]);
                    // SAFETY: the tensor has these rows, of this width.
                    unsafe {
                        view.read(0, &mut before);
                        view.add(rows, vector, &mut scratch);
                        view.read(0, &mut after);
                    }
                    let wide = if tight { WIDTH } else { 2 * WIDTH };
                    for index in 0..ROWS * WIDTH {
                        let (row, column) = (index / WIDTH, index % WIDTH);
                        let value = (row * wide + column) as f32;
                        let plan = rows.iter().find(|(steered, _)| *steered == row);
                        let delta = plan.and_then(|(_, plan)| vector(*plan));
                        let delta = delta.map_or(0.0, |vector| vector[column]);
                        let case = format!("{tight} {host} {rows:?} {index}");
                        assert!((before[index] - value).abs() < 1e-6, "{case}");
                        assert!((after[index] - value - delta).abs() < 1e-6, "{case}");
                    }
                });
            }
        }
    }
}
