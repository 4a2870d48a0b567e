// Draws lines over axes as one self-contained SVG picture, for reports that a browser shows.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace uhd {

struct ChartLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // ascending in x; where an axis is logarithmic, above 0
};

struct Chart {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;
  std::vector<ChartLine> lines;
};

// Returns the SVG text of the charts in a grid of `columns`, with one legend each. Points that are not
// finite, or not above 0 on a logarithmic axis, are left out; a chart without points has axes from 0 to 1.
std::string draw_charts(const std::vector<Chart>& charts, int columns);

}  // namespace uhd
