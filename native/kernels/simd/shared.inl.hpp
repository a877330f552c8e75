// Operations that every wrapper gets from its own load and store; included after it.

#if !defined(COVN_TARGET_LOADS_PADDED)
// The first n elements, at most as many as the lanes, then -inf.
template <class T>
COVN_INLINE F32 load_padded(const T* p, size_t n) {
  if (n >= F32::lanes) return load(p);
  float lane[F32::lanes];
  for (size_t i = 0; i < F32::lanes; i++) lane[i] = i < n ? to_float(p[i]) : -COVN_INFINITY;
  return load(lane);
}
#endif
