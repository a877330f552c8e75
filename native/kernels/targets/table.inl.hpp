// Fills a target's table; the last include of every target file, inside its namespace.
template <class T>
constexpr RowKernels<T> kRows = {
    {{accumulate_rows<T, false, false>, accumulate_rows<T, false, true>},
     {accumulate_rows<T, true, false>, accumulate_rows<T, true, true>}},
    {finish_rows<false>, finish_rows<true>},
};
template <class T>
constexpr SampleKernels<T> kSamples = {sum_groups<T>, read_groups<T>,    draw_tokens<T>,
                                       lay_cells<T>,  propose_tokens<T>, write_log_probs<T>};
extern const KernelTable kTable;
const KernelTable kTable = {
    F32::lanes,
    kTableBits,
    kRows<float>,
    kRows<Float16>,
    kRows<BFloat16>,
    {accumulate_pair<float>, accumulate_pair<Float16>, accumulate_pair<BFloat16>},
    count_pairs,
    count_pairs_on_ladder<LadderRank>,
    count_below_infinity,
    draw_units,
    count_replicates,
    sum_replicates,
    draw_uniforms,
    find_pieces,
    place_groups,
    kSamples<float>,
    kSamples<Float16>,
    kSamples<BFloat16>,
    {{roll_out<false, false>, roll_out<false, true>}, {roll_out<true, false>, roll_out<true, true>}},
    {linear_logits, softmax, add_weighted_rows},
    {read_values<false>, read_values<true>},
    multiply_add,
    {kHiddenKernels<float>, kHiddenKernels<Float16>, kHiddenKernels<BFloat16>},
};
