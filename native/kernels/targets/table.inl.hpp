// Fills a target's table; the last include of every target file, inside its namespace.
template <class T>
constexpr RowKernels<T> kRows = {
    {{accumulate_row<T, false, false>, accumulate_row<T, false, true>},
     {accumulate_row<T, true, false>, accumulate_row<T, true, true>}},
    {{accumulate_group<T, false, false>, accumulate_group<T, false, true>},
     {accumulate_group<T, true, false>, accumulate_group<T, true, true>}},
    {finish_rows<T, false>, finish_rows<T, true>},
};
extern const KernelTable kTable;
const KernelTable kTable = {F32::lanes, kTableBits, kRows<float>, kRows<Float16>, kRows<BFloat16>, count_pairs};
