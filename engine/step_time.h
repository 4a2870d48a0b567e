// The time of a step as a function of its rows, as it was measured: a part that every step takes, for reading
// the weights, and a part for each row.
#pragma once

namespace uhd {

// Least squares of seconds over rows, in which older steps weigh less. It neglects that attention grows with
// the length, which changes slowly. Not thread-safe.
class StepTime {
 public:
  // Times that are not positive numbers, and steps of no rows, are ignored.
  void measured(int rows, double seconds);
  // Returns the seconds of a step of so many rows, 0 before one was measured.
  double predict(int rows) const;
  // Returns how many rows a step may have to take no longer than this: at least `least`, at most `most`,
  // which is returned before a step was measured, and at most twice the rows of the largest step of late:
  // what larger ones take is a guess, and a wrong one would hold everybody up.
  int rows_within(double seconds, int least, int most) const;

 private:
  struct Line {
    double fixed = 0;
    double per_row = 0;
  };
  Line line() const;

  // Sums over steps, each weighed.
  double steps_ = 0;
  double rows_ = 0;
  double squares_ = 0;  // squares of rows
  double seconds_ = 0;
  double products_ = 0;  // rows times seconds
  double largest_ = 0;   // rows of a step of late
};

}  // namespace uhd
