// Fills a target's table; the last include of every target file, inside its namespace.
extern const KernelTable kTable;
const KernelTable kTable = {
    {{accumulate_row<float, false, false>, accumulate_row<float, false, true>},
     {accumulate_row<float, true, false>, accumulate_row<float, true, true>}},
    {{accumulate_row<Float16, false, false>, accumulate_row<Float16, false, true>},
     {accumulate_row<Float16, true, false>, accumulate_row<Float16, true, true>}},
    {{accumulate_row<BFloat16, false, false>, accumulate_row<BFloat16, false, true>},
     {accumulate_row<BFloat16, true, false>, accumulate_row<BFloat16, true, true>}},
    count_pairs,
};
