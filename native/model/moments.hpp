// Means and squared distances of many numbers, in parts that are merged in order; on any device.
#pragma once

namespace covn {

// Mean and squared distances from it, of what was added: about the first of it, so that neither loses digits to a large
// common part.
class Moments {
 public:
  constexpr void add(double x) {
    if (count_ == 0) origin_ = is_finite(x) ? x : 0.0;
    count_ += 1.0;
    const double distance = x - origin_;
    sum_ += distance;
    squares_ += distance * distance;
  }
  // Chan, Golub & LeVeque (1979).
  constexpr void add(const Moments& other) {
    if (other.count_ == 0.0) return;
    const double distance = other.mean() - mean(), all = count_ + other.count_;
    const double spread = count_ == 0.0 ? 0.0 : distance * distance * (count_ * other.count_ / all);
    const double sum = total() + other.total(), squares = squared_distances() + other.squared_distances() + spread;
    *this = Moments();
    count_ = all;
    origin_ = is_finite(sum) ? sum / all : 0.0;
    sum_ = sum - origin_ * all;
    squares_ = squares + (is_finite(sum) ? sum_ * (sum_ / all) : 0.0);
  }
  constexpr double total() const { return origin_ * count_ + sum_; }
  constexpr double squared_distances() const { return count_ == 0.0 ? 0.0 : squares_ - sum_ * (sum_ / count_); }

 private:
  static constexpr bool is_finite(double x) { return x - x == 0.0; }
  constexpr double mean() const { return count_ == 0.0 ? 0.0 : origin_ + sum_ / count_; }

  double count_ = 0.0, origin_ = 0.0, sum_ = 0.0, squares_ = 0.0;
};

}  // namespace covn
