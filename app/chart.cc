#include "app/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace uhd {
namespace {

constexpr double kWidth = 680, kHeight = 420, kLeft = 70, kTop = 40, kRight = 230, kBottom = 50;
constexpr const char* kColours[] = {"#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b",
                                    "#e377c2", "#17becf", "#bcbd22", "#7f7f7f", "#000000", "#5254a3"};
constexpr const char* kDashes[] = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\""};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

std::string shortest(double value) {
  constexpr std::pair<double, const char*> kUnits[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  char text[32];
  for (const auto& [unit, name] : kUnits) {
    if (std::abs(value) < unit) continue;
    std::snprintf(text, sizeof(text), "%.4g%s", value / unit, name);
    return text;
  }
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

// One axis: from values to a place between 0 and 1.
class ChartAxis {
 public:
  ChartAxis(bool logarithmic, const std::vector<double>& values) : logarithmic_(logarithmic) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    low_ = values.empty() ? 0 : *least;
    high_ = values.empty() ? 1 : *most;
    if (logarithmic_) {
      low_ = values.empty() ? 1 : low_;
      high_ = std::max(high_, low_ * 1.01);
      return;
    }
    low_ = std::min(low_, 0.0);
    if (high_ <= low_) high_ = low_ + 1;
  }
  double place(double value) const {
    if (!logarithmic_) return (value - low_) / (high_ - low_);
    return std::log(value / low_) / std::log(high_ / low_);
  }
  std::vector<double> ticks() const {
    std::vector<double> ticks;
    if (logarithmic_) {
      const bool few = high_ / low_ > 100;
      for (double decade = std::pow(10, std::floor(std::log10(low_))); decade <= high_; decade *= 10) {
        for (const double step : {1.0, 2.0, 5.0}) {
          if (few && step != 1) continue;
          if (decade * step >= low_ && decade * step <= high_) ticks.push_back(decade * step);
        }
      }
      return ticks;
    }
    const double raw = (high_ - low_) / 5, power = std::pow(10, std::floor(std::log10(raw)));
    const double step = raw / power < 2 ? 2 * power : raw / power < 5 ? 5 * power : 10 * power;
    for (double tick = std::ceil(low_ / step) * step; tick <= high_ * (1 + 1e-9); tick += step)
      ticks.push_back(tick);
    return ticks;
  }

 private:
  bool logarithmic_;
  double low_, high_;
};

void draw_chart(std::ostringstream& svg, const Chart& chart, double left, double top) {
  std::vector<double> xs, ys;
  std::vector<ChartLine> lines = chart.lines;
  for (ChartLine& line : lines) {
    std::erase_if(line.points, [&](const auto& p) {
      return !std::isfinite(p.first) || !std::isfinite(p.second) || (chart.log_x && p.first <= 0) ||
             (chart.log_y && p.second <= 0);
    });
    for (const auto& [x, y] : line.points) {
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  std::erase_if(lines, [](const ChartLine& line) { return line.points.empty(); });
  const ChartAxis across(chart.log_x, xs), up(chart.log_y, ys);
  const double width = kWidth - kLeft - kRight, height = kHeight - kTop - kBottom;
  const auto at_x = [&](double x) { return left + kLeft + across.place(x) * width; };
  const auto at_y = [&](double y) { return top + kTop + (1 - up.place(y)) * height; };
  svg << "<text x=\"" << left + kLeft << "\" y=\"" << top + 22 << "\" font-size=\"15\">"
      << escaped(chart.title) << "</text>\n";
  for (const double tick : across.ticks()) {
    svg << "<line class=\"g\" x1=\"" << at_x(tick) << "\" x2=\"" << at_x(tick) << "\" y1=\"" << top + kTop
        << "\" y2=\"" << top + kTop + height << "\"/><text text-anchor=\"middle\" x=\"" << at_x(tick)
        << "\" y=\"" << top + kTop + height + 16 << "\">" << shortest(tick) << "</text>\n";
  }
  for (const double tick : up.ticks()) {
    svg << "<line class=\"g\" x1=\"" << left + kLeft << "\" x2=\"" << left + kLeft + width << "\" y1=\""
        << at_y(tick) << "\" y2=\"" << at_y(tick) << "\"/><text text-anchor=\"end\" x=\"" << left + kLeft - 6
        << "\" y=\"" << at_y(tick) + 4 << "\">" << shortest(tick) << "</text>\n";
  }
  svg << "<rect class=\"f\" x=\"" << left + kLeft << "\" y=\"" << top + kTop << "\" width=\"" << width
      << "\" height=\"" << height << "\"/>\n<text text-anchor=\"middle\" x=\"" << left + kLeft + width / 2
      << "\" y=\"" << top + kHeight - 12 << "\">" << escaped(chart.x_label)
      << "</text>\n<text text-anchor=\"middle\" transform=\"translate(" << left + 16 << ' '
      << top + kTop + height / 2 << ") rotate(-90)\">" << escaped(chart.y_label) << "</text>\n";
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string style = std::string(" stroke=\"") + kColours[i % std::size(kColours)] + '"' +
                              kDashes[i / 4 % std::size(kDashes)];
    svg << "<polyline class=\"l\"" << style << " points=\"";
    for (const auto& [x, y] : lines[i].points) svg << at_x(x) << ',' << at_y(y) << ' ';
    const double y = top + kTop + 10 + 17 * static_cast<double>(i), x = left + kLeft + width + 10;
    svg << "\"/>\n<line class=\"l\"" << style << " x1=\"" << x << "\" x2=\"" << x + 22 << "\" y1=\"" << y
        << "\" y2=\"" << y << "\"/><text x=\"" << x + 27 << "\" y=\"" << y + 4 << "\">"
        << escaped(lines[i].name) << "</text>\n";
  }
}

}  // namespace

std::string draw_charts(const std::vector<Chart>& charts, int columns) {
  const auto count = static_cast<int>(charts.size());
  const int rows = (count + columns - 1) / columns;
  std::ostringstream svg;
  svg.precision(6);
  const double width = kWidth * std::min(columns, count), height = kHeight * rows;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
      << "\" viewBox=\"0 0 " << width << ' ' << height
      << "\" font-family=\"sans-serif\" font-size=\"11\">\n<style>.g{stroke:#ddd}.f{fill:none;stroke:#444}"
         ".l{fill:none;stroke-width:1.8}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (int i = 0; i < count; ++i) {
    const int row = i / columns, column = i % columns;
    draw_chart(svg, charts[static_cast<size_t>(i)], kWidth * column, kHeight * row);
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace uhd
